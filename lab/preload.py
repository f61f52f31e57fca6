"""What every service process imports, loaded once before the fork."""

import gc

import services.acquirer.bootstrap
import services.cart.bootstrap
import services.catalog.bootstrap
import services.inventory.bootstrap
import services.orders.bootstrap
import services.payments.bootstrap
import services.recommendations.bootstrap
import services.runtime.main
import services.storefront.bootstrap  # noqa: F401

# The collector writes into every object it visits: frozen ones stay shared with the
# children instead of being copied page by page.
gc.collect()
gc.freeze()

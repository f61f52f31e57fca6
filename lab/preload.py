"""What every service process imports, loaded once before the fork."""

import services.orders.bootstrap

import services.acquirer.bootstrap
import services.cart.bootstrap
import services.catalog.bootstrap
import services.inventory.bootstrap
import services.payments.bootstrap
import services.recommendations.bootstrap
import services.runtime.main
import services.storefront.bootstrap  # noqa: F401

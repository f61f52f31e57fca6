create table cart_items (
  crdb_region TEXT NOT NULL,
  customer_id UUID NOT NULL,
  product_id TEXT NOT NULL,
  quantity BIGINT NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  constraint cart_items_pkey primary key (crdb_region, customer_id, product_id),
  constraint cart_items_quantity_check check (quantity > 0)
);

create table cart_keys (
  crdb_region TEXT NOT NULL,
  customer_id UUID NOT NULL,
  idem_key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  constraint cart_keys_pkey primary key (crdb_region, customer_id, idem_key)
);

create table contract_prices (
  crdb_region TEXT NOT NULL,
  contract_id TEXT NOT NULL,
  product_id TEXT NOT NULL,
  price_minor BIGINT NOT NULL,
  constraint contract_prices_pkey primary key (crdb_region, contract_id, product_id)
);

create table customers (
  crdb_region TEXT NOT NULL,
  id UUID NOT NULL,
  name TEXT NOT NULL,
  segment TEXT NOT NULL,
  country TEXT NOT NULL,
  contract_id TEXT,
  constraint customers_pkey primary key (crdb_region, id)
);

create table intake (
  crdb_region TEXT NOT NULL,
  id UUID NOT NULL,
  home_region TEXT NOT NULL,
  customer_id UUID NOT NULL,
  idem_key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  body JSONB NOT NULL,
  state TEXT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  drained_at TIMESTAMP WITH TIME ZONE,
  constraint intake_pkey primary key (crdb_region, id),
  constraint intake_idem_key unique (crdb_region, home_region, idem_key)
);

create index intake_by_state on intake (crdb_region, state, created_at);

create table ip_blocks (
  start_ip INET NOT NULL,
  end_ip INET NOT NULL,
  region TEXT NOT NULL,
  owner TEXT NOT NULL,
  constraint ip_blocks_pkey primary key (start_ip)
);

create table ledger_entries (
  crdb_region TEXT NOT NULL,
  id UUID NOT NULL,
  order_id UUID NOT NULL,
  account TEXT NOT NULL,
  amount_minor BIGINT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  constraint ledger_entries_pkey primary key (crdb_region, id)
);

create index ledger_by_order on ledger_entries (crdb_region, order_id);

create table payments (
  crdb_region TEXT NOT NULL,
  order_id UUID NOT NULL,
  idem_key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  amount_minor BIGINT NOT NULL,
  currency TEXT NOT NULL,
  state TEXT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  constraint payments_pkey primary key (crdb_region, order_id)
);

create table products (
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  category TEXT NOT NULL,
  price_minor BIGINT NOT NULL,
  currency TEXT NOT NULL,
  popularity BIGINT NOT NULL,
  constraint products_pkey primary key (id)
);

create index products_by_category on products (category, popularity desc, id);

create table reservations (
  crdb_region TEXT NOT NULL,
  order_id UUID NOT NULL,
  lines JSONB NOT NULL,
  state TEXT NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  constraint reservations_pkey primary key (crdb_region, order_id)
);

create table stock (
  crdb_region TEXT NOT NULL,
  product_id TEXT NOT NULL,
  available BIGINT NOT NULL,
  shard BIGINT DEFAULT 0 NOT NULL,
  constraint stock_pkey primary key (crdb_region, product_id, shard),
  constraint stock_available_check check (available >= 0)
);

create table orders (
  crdb_region TEXT NOT NULL,
  id UUID NOT NULL,
  customer_id UUID NOT NULL,
  idem_key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  state TEXT NOT NULL,
  total_minor BIGINT NOT NULL,
  currency TEXT NOT NULL,
  rejection TEXT,
  card_token TEXT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  constraint orders_pkey primary key (crdb_region, id),
  constraint orders_idem_key unique (crdb_region, idem_key),
  constraint orders_customers_fk foreign key (crdb_region, customer_id) references customers (crdb_region, id)
);

create index orders_by_customer on orders (crdb_region, customer_id, created_at desc);

create index orders_by_state_sharded on orders (crdb_region, state, updated_at);

create table order_items (
  crdb_region TEXT NOT NULL,
  order_id UUID NOT NULL,
  line_no BIGINT NOT NULL,
  product_id TEXT NOT NULL,
  quantity BIGINT NOT NULL,
  unit_price_minor BIGINT NOT NULL,
  constraint order_items_pkey primary key (crdb_region, order_id, line_no),
  constraint order_items_orders_fk foreign key (crdb_region, order_id) references orders (crdb_region, id)
);

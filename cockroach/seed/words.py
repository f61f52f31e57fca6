"""The names that seeded products, customers and firms are put together from."""

CATEGORIES = (
    "books",
    "games",
    "garden",
    "kitchen",
    "music",
    "office",
    "sport",
    "toys",
)

THINGS = {
    "books": ("Atlas", "Cookbook", "Novel", "Almanac", "Field Guide", "Biography"),
    "games": ("Chess Set", "Puzzle", "Card Deck", "Board Game", "Dice Tower"),
    "garden": ("Spade", "Watering Can", "Trellis", "Hose", "Planter", "Secateurs"),
    "kitchen": ("Saucepan", "Kettle", "Chef's Knife", "Whisk", "Mortar", "Teapot"),
    "music": ("Ukulele", "Metronome", "Vinyl Record", "Harmonica", "Music Stand"),
    "office": ("Desk Lamp", "Stapler", "Notebook", "Fountain Pen", "Letter Tray"),
    "sport": ("Football", "Skipping Rope", "Yoga Mat", "Tennis Racket", "Bottle"),
    "toys": ("Wooden Train", "Kite", "Teddy Bear", "Building Blocks", "Spinning Top"),
}

QUALITIES = (
    "Classic",
    "Compact",
    "Coastal",
    "Everyday",
    "Folding",
    "Harbour",
    "Heritage",
    "Little",
    "Nordic",
    "Travel",
)

FIRST = (
    "Ada",
    "Akira",
    "Amara",
    "Bruno",
    "Chiara",
    "Diego",
    "Elif",
    "Femi",
    "Grace",
    "Hana",
    "Ines",
    "Jonas",
    "Kofi",
    "Lena",
    "Mei",
    "Noor",
    "Otto",
    "Priya",
    "Ravi",
    "Sofia",
)

LAST = (
    "Andersen",
    "Becker",
    "Chen",
    "Diaz",
    "Evans",
    "Fischer",
    "Gupta",
    "Haddad",
    "Ito",
    "Jensen",
    "Kim",
    "Lopez",
    "Moreau",
    "Nakamura",
    "Okafor",
    "Patel",
    "Rossi",
    "Smith",
    "Tanaka",
    "Weber",
)

COUNTRIES = {
    "us": ("US", "US", "US", "CA", "MX"),
    "eu": ("DE", "FR", "GB", "IT", "ES", "NL"),
    "asia": ("JP", "IN", "SG", "KR", "ID"),
}

# Firms that do not exist, and documentation addresses (RFC 5737) that nobody has.
FIRMS = {
    "us": "East Coast Corp",
    "eu": "Rhine Logistik",
    "asia": "Harbour Trading",
}

IP_BLOCKS = (
    ("198.51.100.0", "198.51.100.255", "us", FIRMS["us"]),
    ("203.0.113.0", "203.0.113.127", "eu", FIRMS["eu"]),
    ("203.0.113.128", "203.0.113.255", "asia", FIRMS["asia"]),
)

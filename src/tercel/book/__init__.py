"""Order books: L2 by price in integers, L3 by order id, and the views users read."""

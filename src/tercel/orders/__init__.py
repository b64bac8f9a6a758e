"""The life of our orders and what fills do to positions and money."""

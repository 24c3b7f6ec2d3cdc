"""One system of the literature a file: its networks, its losses with their weights, how it embeds and compares."""

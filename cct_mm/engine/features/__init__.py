"""Features on disk: what they are made with, whether they are all there, and making them."""

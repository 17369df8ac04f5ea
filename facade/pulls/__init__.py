"""The way of one pull: who asks, may they, and how it is answered."""

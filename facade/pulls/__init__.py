"""One pull: what is asked, whether it may be, and how it is answered."""

"""Where the bytes come from: the store, their arrival, or upstream; verified on the way."""

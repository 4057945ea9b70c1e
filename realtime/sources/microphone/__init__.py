"""A live microphone: packets put in order, gaps hidden, delay kept short."""

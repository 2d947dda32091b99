"""How is a meter read that a host of its own has? There by its agent, here as readings that come over the channel."""

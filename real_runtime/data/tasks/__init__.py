"""Which questions with answers are there to learn, and how well are they answered? Pairs of texts, and their scores."""

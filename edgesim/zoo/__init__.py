"""Which published transformers are known in closed form? One file per family; each function returns a Model."""

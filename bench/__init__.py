"""How fast the gateway is, measured against what bounds it: ``just bench``."""

"""An account connects a CRM: begin in ``connect``, come back in ``oauth`` or ``steps``, end in ``disconnect``."""

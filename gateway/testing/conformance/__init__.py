"""The conformance suite: every plugin is driven through the host's own flows against its sandbox.

``rules`` says what a rule is; each module below holds the rules of one subject, in the order of the quality card:
``describing``, ``connecting``, ``pushing``, ``credentials``, ``lists``, ``watching``, ``contacts``, ``automation``.
``run`` runs them, ``suite`` is the test class for plugin authors, ``card`` computes the quality card.

More rules go into the module of their subject (those of contact sync into ``contacts``, those of automations into
``automation``); a new module is named in ``run``.
"""

"""The host is told: written in ``publishing``, spread in ``fan_out``, sent in ``deliver``, read in ``feed``."""

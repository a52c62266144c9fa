"""Auto-Encoding Bayes: the VAE, IWAE, AAE and AVB papers, regenerated from raw data."""

__version__ = "0.1.0"

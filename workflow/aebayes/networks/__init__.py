"""Networks of R replicas side by side.

Letters in shape comments: R replica, K importance sample, B batch, X data, Z latent, N noise.
"""

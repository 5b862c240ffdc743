//! What becomes of a request when a backend is away, slow, or lies.

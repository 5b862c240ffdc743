//! Backends that misbehave, for tests of what a gateway does about them.

//! The judge on its own, and in worlds that break at random.

mod cases;
mod worlds;

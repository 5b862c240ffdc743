//! The scheduler under thousands of random histories, and in the situations that it is made for.

mod fairness;
mod histories;
mod situations;
mod world;

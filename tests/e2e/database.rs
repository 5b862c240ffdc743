//! How Odoo is told the database, and that nobody else tells it.

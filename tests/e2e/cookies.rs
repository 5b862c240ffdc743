//! Cookies of clients and of Odoo.

//! The domain that somebody registered, to count orders by.

/// Second labels below which countries register domains, as in `example.co.uk`.
const REGISTRY_LABELS: [&str; 9] = ["ac", "co", "com", "edu", "gob", "gov", "net", "or", "org"];

/// The part of a host that was registered: two labels, or three where a country registers below `co` and its like.
///
/// A guess that needs no list of all public suffixes. Where it is wrong it counts several domains as one, and orders come
/// later than they might.
#[must_use]
pub fn registered_domain(host: &str) -> &str {
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let (last, second) = (dots.next(), dots.next());
    let (Some(last), Some(second)) = (last, second) else { return host };
    let below = |at: usize| host.get(at.saturating_add(1)..).unwrap_or(host);
    let country = below(last).len() == 2;
    let middle = host.get(second.saturating_add(1)..last).unwrap_or_default();
    if country && REGISTRY_LABELS.contains(&middle) {
        return dots.next().map_or(host, below);
    }
    below(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_counted_by_what_somebody_registered() {
        for (host, domain) in [
            ("localhost", "localhost"),
            ("example.com", "example.com"),
            ("shop.example.com", "example.com"),
            ("a.b.c.example.com", "example.com"),
            ("example.co.uk", "example.co.uk"),
            ("shop.example.co.uk", "example.co.uk"),
            ("a.shop.example.com.br", "example.com.br"),
            ("co.uk", "co.uk"),
            ("com.example.io", "example.io"),
        ] {
            assert_eq!(registered_domain(host), domain, "{host}");
        }
    }
}

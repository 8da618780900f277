//! What listens on the gateway's own tunnel addresses, for devices whose packets the core let through.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};

/// Makes a socket on one of the gateway's tunnel addresses, bound to the interface: what comes in elsewhere does not reach it,
/// and no answer leaves elsewhere.
///
/// # Errors
/// What the kernel says; `EADDRINUSE` where somebody listens on the port of all addresses.
pub(crate) fn bound(interface: &str, address: SocketAddr, kind: Type) -> std::io::Result<Socket> {
    let protocol = if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    // TCP: the connections of a gateway that was just killed linger. UDP: for the moment of binding alone, see
    // `ResolverSockets::bind`.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        // The kernel may still be about to accept the address that the interface was just given.
        socket.set_freebind_v6(true)?;
    }
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.bind(&address.into())?;
    if kind == Type::DGRAM {
        socket.set_reuse_address(false)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Places that devices share: so many in all, so many for each.
pub(crate) struct Places {
    taken: Mutex<(usize, HashMap<IpAddr, usize>)>,
    max: usize,
    per_device_max: usize,
}

impl Places {
    /// So many in all, so many for each.
    pub(crate) fn new(max: usize, per_device_max: usize) -> Self {
        Self { taken: Mutex::default(), max, per_device_max }
    }

    /// Takes a place for a device, if one is left.
    pub(crate) fn take(this: &Arc<Self>, device: IpAddr) -> Option<Place> {
        let mut taken = this.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, by_device) = &mut *taken;
        let own = by_device.get(&device).copied().unwrap_or(0);
        if *all >= this.max || own >= this.per_device_max {
            return None;
        }
        *all = all.saturating_add(1);
        by_device.insert(device, own.saturating_add(1));
        Some(Place { places: Arc::clone(this), device })
    }
}

/// One place, given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    device: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, by_device) = &mut *taken;
        *all = all.saturating_sub(1);
        match by_device.get_mut(&self.device) {
            Some(own) if *own > 1 => *own = own.saturating_sub(1),
            Some(_) | None => {
                by_device.remove(&self.device);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_cannot_take_the_places_of_all() {
        let places = Arc::new(Places::new(3, 2));
        let [one, two]: [IpAddr; 2] = ["100.80.0.2", "100.80.0.3"].map(|text| text.parse().unwrap());
        let held: Vec<_> = (0..5).filter_map(|_| Places::take(&places, one)).collect();
        assert_eq!(held.len(), 2);
        let other = Places::take(&places, two).unwrap();
        assert!(Places::take(&places, two).is_none(), "all are taken");
        drop(held);
        assert!(Places::take(&places, two).is_some());
        drop(other);
        assert!(places.taken.lock().unwrap().1.is_empty(), "nothing is remembered of who asked");
    }
}

// Package life decides what is done while a USB gadget is plugged, unplugged, asleep and awake:
// which profile `auto` gives to a host, when a link that has died is revived, when the addresses
// have to move, which light is shown.
//
// A Decider is a state machine without hands: facts come in as events, each with the time, and
// actions come out as data, each with its reason. Run carries them out.
//
// The rules, all learnt from programs that broke one of them:
//   - Nobody there (`not attached`, `attached`, `powered`: no host, a host that is off, a charger)
//     is normal. Nothing is ever revived then: rebinding in a loop leaked memory and stalled the
//     host's firmware (jetkvm/kvm issues 1563, 1641). What may happen is that `auto`, once per
//     unplug and only after some seconds, puts the profile there that the next plug begins with;
//     there is nobody who could see it.
//   - A host that boots is left alone: each enumeration starts every waiting time again, and a bus
//     reset after the device was configured makes them longer for the rest of the plug.
//   - The link is revived only where independent things agree: the host has configured the device,
//     the link has carrier, the counters show that frames pass in one direction only, and the
//     controller's driver complained in the kernel log or the host has just woken up.
//   - Reviving takes the softest step first (soft_connect, then UDC, then driver), with growing
//     pauses and at most so many steps in an hour. soft_connect is verified: where the host did
//     not come back it is not used again, and the UDC is bound anew once, which undoes the harm.
//   - `auto` changes the profile at most once per plug, from modern to classic.
//
// A board that does not sense VBUS (every Raspberry Pi Zero) sees a pulled cable as `suspended`,
// like a sleeping host. A bus reset after seconds of that is taken as a new plug. There the
// profile is not put back before it, for a rebinding might wake a sleeping host; the next start of
// the board does it.
package life

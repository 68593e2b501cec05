package gadget

import "github.com/provision-net/provision/provision"

func (p *planner) offline()                  {}
func (p *planner) keepOff()                  {}
func (p *planner) logins()                   {}
func (p *planner) unit()                     {}
func (p *planner) tell(usb []provision.Want) {}

package agent

import "github.com/provision-net/provision/provision/resource/nft"

// NewLearner teaches the sets of this network namespace.
func NewLearner() *Learner { return &Learner{Sets: &nft.Resource{}} }

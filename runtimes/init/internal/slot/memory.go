package slot

import "slices"

// A gateway asks for an attempt after a lost connection; until it is back others go on and send theirs. So each
// gateway's attempts are remembered apart: nobody else's can push out the one that will be asked for.
const (
	remembered = 64 // attempts of each gateway
	gateways   = 64 // the ones heard of last; a gateway's name is never used again
)

// Fate is what became of an attempt, as far as it is remembered.
type Fate struct {
	Known    bool
	Accepted bool
}

// Memory keeps the fates of each gateway's latest attempts, by its ids for them.
type Memory struct {
	of    map[string]*recent
	order []string // gateways, longest silent first
}

// recent is what one gateway sent last.
type recent struct {
	order []string
	fates map[string]bool // accepted?
}

// Seen notes an attempt that has come in; it answers false when it had been accepted before.
func (m *Memory) Seen(gateway, id string) bool {
	r := m.heardOf(gateway)
	accepted, known := r.fates[id]
	if !known {
		if len(r.order) == remembered {
			delete(r.fates, r.order[0])
			r.order = append(r.order[:0], r.order[1:]...)
		}
		r.order = append(r.order, id)
		r.fates[id] = false
	}
	return !accepted
}

// heardOf returns what is remembered of a gateway, which is the last one heard of now.
func (m *Memory) heardOf(gateway string) *recent {
	r := m.of[gateway]
	if r == nil {
		if m.of == nil {
			m.of = map[string]*recent{}
		}
		if len(m.order) == gateways {
			delete(m.of, m.order[0])
			m.order = m.order[1:]
		}
		r = &recent{fates: map[string]bool{}}
		m.of[gateway] = r
	} else if i := len(m.order) - 1; m.order[i] != gateway {
		m.order = slices.DeleteFunc(m.order, func(other string) bool { return other == gateway })
	} else {
		return r
	}
	m.order = append(m.order, gateway)
	return r
}

// Accepted notes that the attempt has begun.
func (m *Memory) Accepted(gateway, id string) {
	if r := m.of[gateway]; r != nil {
		if _, known := r.fates[id]; known {
			r.fates[id] = true
		}
	}
}

// Of says what is known of an attempt.
func (m *Memory) Of(gateway, id string) Fate {
	if r := m.of[gateway]; r != nil {
		accepted, known := r.fates[id]
		return Fate{Known: known, Accepted: accepted}
	}
	return Fate{}
}

package slot

// remembered is how many attempts a gateway can still ask for after a lost connection.
const remembered = 64

// Fate is what became of an attempt, as far as it is remembered.
type Fate struct {
	Known    bool
	Accepted bool
}

// Memory keeps the fates of the latest attempts, by the gateways' ids for them.
type Memory struct {
	order []string
	fates map[string]bool // accepted?
}

// Seen notes an attempt that has come in; it answers false when it had been accepted before.
func (m *Memory) Seen(id string) bool {
	if m.fates == nil {
		m.fates = make(map[string]bool, remembered)
	}
	accepted, known := m.fates[id]
	if !known {
		if len(m.order) == remembered {
			delete(m.fates, m.order[0])
			m.order = append(m.order[:0], m.order[1:]...)
		}
		m.order = append(m.order, id)
		m.fates[id] = false
	}
	return !accepted
}

// Accepted notes that the attempt has begun.
func (m *Memory) Accepted(id string) {
	if _, known := m.fates[id]; known {
		m.fates[id] = true
	}
}

// Of says what is known of an attempt.
func (m *Memory) Of(id string) Fate {
	accepted, known := m.fates[id]
	return Fate{Known: known, Accepted: accepted}
}

package logs

import (
	"bytes"
	"encoding/json"
	"strings"
)

// applicationLevels are LoggingConfig's words, and WARNING and CRITICAL, as AWS's Python client writes two of them.
var applicationLevels = map[string]int{
	"TRACE": 0, "DEBUG": 1, "INFO": 2, "WARN": 3, "WARNING": 3, "ERROR": 4, "FATAL": 5, "CRITICAL": 5,
}

// LevelFilter keeps what LoggingConfig's ApplicationLogLevel lets through: JSON objects with a level below it are left
// out, one without a known level counts as INFO (AWS: log-level filtering), and what is no object stays (reference
// §g.5). It is nil when nothing has to be looked at.
func LevelFilter(format, level string) func(line []byte) bool {
	least := applicationLevels[level]
	if format != "JSON" || least == 0 {
		return nil
	}
	return func(line []byte) bool {
		if !bytes.HasPrefix(line, []byte{'{'}) {
			return true
		}
		var object struct {
			Level any `json:"level"`
		}
		if json.Unmarshal(line, &object) != nil {
			return true
		}
		level, _ := object.Level.(string)
		rank, known := applicationLevels[strings.ToUpper(level)]
		if !known {
			rank = applicationLevels["INFO"]
		}
		return rank >= least
	}
}

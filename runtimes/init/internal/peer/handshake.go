package peer

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"klambda.io/init/internal/frame"
)

// handshakeLimit covers the gateway's own look for the pod (it holds an unknown one for at most 2 s).
const handshakeLimit = 10 * time.Second

// Identity is who this instance is.
type Identity struct {
	Namespace string
	Pod       string
	PodUID    string
	Boot      string // random per init process
	Token     string
}

// MAC is the proof that one side knows the token: role is "gateway" or "instance".
func MAC(token, role, first, second, podUID, boot string) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(strings.Join([]string{role, first, second, podUID, boot}, "\n")))
	return hex.EncodeToString(mac.Sum(nil))
}

// Nonce is 32 random hex characters.
func Nonce() string {
	var bytes [16]byte
	_, _ = rand.Read(bytes[:]) // never fails
	return hex.EncodeToString(bytes[:])
}

var errNotGateway = errors.New("the gateway does not know the token")

// greet runs the handshake up to the challenge, which it verifies; it returns the gateway's name and nonce.
func greet(socket net.Conn, frames *frame.Reader, who Identity) (gateway, proof string, err error) {
	_ = socket.SetDeadline(time.Now().Add(handshakeLimit))
	nonce := Nonce()
	hello, err := frame.Encode(frame.Hello, frame.HelloHeader{
		Versions: []int{frame.Version}, Namespace: who.Namespace, Pod: who.Pod, PodUID: who.PodUID,
		Boot: who.Boot, Nonce: nonce,
	}, 0)
	if err != nil {
		return "", "", err
	}
	if _, err := socket.Write(hello); err != nil {
		return "", "", err
	}
	received, err := frames.Next()
	if err != nil {
		return "", "", err
	}
	if received.Type != frame.Challenge {
		return "", "", fmt.Errorf("%w: type %d instead of a challenge", frame.ErrMalformed, received.Type)
	}
	var challenge frame.ChallengeHeader
	if err := received.Decode(&challenge); err != nil {
		return "", "", err
	}
	if challenge.Version != frame.Version {
		return "", "", fmt.Errorf("%w: version %d", frame.ErrMalformed, challenge.Version)
	}
	want := MAC(who.Token, "gateway", nonce, challenge.Nonce, who.PodUID, who.Boot)
	if !hmac.Equal([]byte(want), []byte(challenge.MAC)) {
		return "", "", errNotGateway
	}
	_ = socket.SetDeadline(time.Time{})
	return challenge.Gateway, MAC(who.Token, "instance", challenge.Nonce, nonce, who.PodUID, who.Boot), nil
}

func reader(socket net.Conn) *frame.Reader {
	return frame.NewReader(bufio.NewReaderSize(socket, 16<<10))
}

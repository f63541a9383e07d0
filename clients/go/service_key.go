package svoykrug

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const assertionLife = 2 * time.Minute

// wallClock dates assertions; it may be minutes wrong.
var wallClock = time.Now

// ServiceKey is what a service needs to sign in. It prints without its secret.
type ServiceKey struct {
	accountID, keyID, audience string
	private                    crypto.PrivateKey
	algorithm                  jwt.SigningMethod
}

// NewServiceKey returns the key of a service account.
//
// accountID and keyID name the account and its public key on the server; audience is whom assertions are for: the server's issuer,
// svoykrug by default; privateKeyPEM is a P-256 or RSA key in PKCS 8.
func NewServiceKey(accountID, keyID, audience string, privateKeyPEM []byte) (*ServiceKey, error) {
	block, _ := pem.Decode(privateKeyPEM)
	if block == nil {
		return nil, errors.New("the service key is not PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the service key cannot be read: %w", err)
	}
	key := &ServiceKey{accountID, keyID, audience, private, jwt.SigningMethodES256}
	switch private.(type) {
	case *ecdsa.PrivateKey:
	case *rsa.PrivateKey:
		key.algorithm = jwt.SigningMethodRS256
	default:
		return nil, fmt.Errorf("a service key is P-256 or RSA, not %T", private)
	}
	return key, nil
}

// ReadServiceKey reads a key file as `svoykrug keys create-service-account` writes it.
func ReadServiceKey(path string) (*ServiceKey, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		AccountID     string `json:"service_account_id"`
		KeyID         string `json:"key_id"`
		Audience      string `json:"audience"`
		PrivateKeyPEM string `json:"private_key_pem"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("%s holds no service account key", path)
	}
	return NewServiceKey(file.AccountID, file.KeyID, file.Audience, []byte(file.PrivateKeyPEM))
}

// Format prints the key without its secret, whatever the verb.
func (k *ServiceKey) Format(state fmt.State, _ rune) {
	fmt.Fprintf(state, "key %s of service account %s", k.keyID, k.accountID)
}

// assertion signs a new assertion (RFC 7523); each is good once.
func (k *ServiceKey) assertion() (string, error) {
	now := wallClock()
	// The server takes one audience, as a string and not as a list.
	token := jwt.NewWithClaims(k.algorithm, jwt.MapClaims{
		"iss": k.accountID,
		"sub": k.accountID,
		"aud": k.audience,
		"jti": uuid.NewString(),
		"iat": now.Unix(),
		"exp": now.Add(assertionLife).Unix(),
	})
	token.Header["kid"] = k.keyID
	return token.SignedString(k.private)
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"messaging_api/internal/ops"
	"messaging_api/internal/tlscert"
)

// A certificateSource has the certificates for TLS.
type certificateSource interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Certificates() []tlscert.Info
	Reload() // reads changed files now
	Run(context.Context)
}

// certificates returns the source that --tls names, nil for off. It writes no files.
func (o *options) certificates(now time.Time, log *slog.Logger) (certificateSource, error) {
	switch o.TLS {
	case "files":
		pairs := make([]tlscert.Pair, len(o.TLSCert))
		for i := range pairs {
			pairs[i] = tlscert.Pair{Cert: o.TLSCert[i], Key: o.TLSKey[i]}
		}
		files, err := tlscert.NewFiles(pairs, o.Host, now, log)
		if err != nil {
			return nil, startError(fmt.Errorf("--tls-cert, --tls-key: %w", err))
		}
		return files, nil
	case "acme":
		config := o.ACME
		config.Hosts = o.Host
		acme, err := tlscert.NewACME(config, log)
		if err != nil {
			return nil, startError(err)
		}
		return acme, nil
	case "self-signed":
		signed, err := tlscert.NewSelfSigned(o.Host, now)
		if err != nil {
			return nil, fmt.Errorf("--tls self-signed: %w", err)
		}
		return signed, nil
	default:
		return nil, nil
	}
}

// tlsConfig is nil if TLS is off.
func (o *options) tlsConfig(source certificateSource, floods *floodLog) *tls.Config {
	if source == nil {
		return nil
	}
	lowest := uint16(tls.VersionTLS12)
	if o.TLSMin == "1.3" {
		lowest = tls.VersionTLS13
	}
	config := tlscert.Config(lowest, floods.countUnknownNames(source.GetCertificate))
	if o.TLS == "acme" {
		config.NextProtos = append(config.NextProtos, tlscert.ACMEProtocol)
	}
	return config
}

// describeCertificate says what a certificate is for, how long it is valid, and why clients
// may refuse it.
func describeCertificate(c tlscert.Info, now time.Time) string {
	validity := fmt.Sprintf("%d days left", c.DaysLeft(now))
	if now.After(c.NotAfter) {
		validity = "expired"
	}
	text := fmt.Sprintf("%s: for %s, issued by %s, %s", c.Source, strings.Join(c.Names, ", "), c.Issuer, validity)
	if c.NotAfter.IsZero() {
		text = fmt.Sprintf("%s: there is none yet; the service orders one from %s", c.Source, c.Issuer)
	}
	if c.Warning != "" {
		text += "; clients may refuse it: " + c.Warning
	}
	return text
}

// certificateCheck is the readiness check of the certificates. It fails if one has expired
// or if there is none. Its detail names each certificate.
func certificateCheck(source certificateSource) ops.Check {
	return ops.Check{Name: "certificate", Run: func(context.Context) (string, error) {
		if source == nil {
			return "TLS is off", nil
		}
		var details []string
		now, served, expired := time.Now(), false, false
		for _, c := range source.Certificates() {
			detail := describeCertificate(c, now)
			if c.Err != nil { // it could not be replaced
				detail += " (" + c.Err.Error() + ")"
			}
			details = append(details, detail)
			served = served || !c.NotAfter.IsZero()
			expired = expired || !c.NotAfter.IsZero() && now.After(c.NotAfter)
		}
		report := strings.Join(details, "; ")
		if expired || !served {
			return "", errors.New(report)
		}
		return report, nil
	}}
}

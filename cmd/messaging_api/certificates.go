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
		acme, err := tlscert.NewACME(tlscert.ACMEConfig{
			Hosts:      o.Host,
			CacheDir:   o.ACMECache,
			Directory:  o.ACMEDirectory,
			Email:      o.ACMEEmail,
			CAFile:     o.ACMECA,
			EABKeyID:   o.ACMEEABKid,
			EABKeyFile: o.ACMEEABKeyFile,
		}, log)
		if err != nil {
			return nil, startError(err)
		}
		return acme, nil
	case "self-signed":
		signed, err := tlscert.NewSelfSigned(o.Host, now)
		if err != nil {
			return nil, err
		}
		return fixed{signed}, nil
	default:
		return nil, nil
	}
}

// openCertificates also prepares the files that an ACME source writes.
func (o *options) openCertificates(now time.Time, log *slog.Logger) (certificateSource, error) {
	source, err := o.certificates(now, log)
	if err != nil {
		return nil, err
	}
	if acme, ok := source.(*tlscert.ACME); ok {
		if err := acme.Prepare(); err != nil {
			return nil, startError(err)
		}
	}
	return source, nil
}

// fixed is a source that never changes.
type fixed struct{ *tlscert.SelfSigned }

func (fixed) Reload()             {}
func (fixed) Run(context.Context) {}

// tlsMin is the lowest TLS version as crypto/tls numbers it.
func (o *options) tlsMin() uint16 {
	if o.TLSMin == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// certificateLine is the line of the command check for a certificate.
func certificateLine(c tlscert.Info, now time.Time) string {
	if c.NotAfter.IsZero() {
		return fmt.Sprintf("certificate %s: there is none yet; the service orders one from %s", c.Source, c.Issuer)
	}
	line := fmt.Sprintf("certificate %s: for %s, issued by %s, %d days left", c.Source, strings.Join(c.Names, ", "), c.Issuer, c.DaysLeft(now))
	if c.Warning != "" {
		line += "; clients may refuse it: " + c.Warning
	}
	return line
}

// certificateCheck is the readiness check of the certificates. It fails if one has expired
// or if there is none. Its detail names each certificate.
func certificateCheck(source certificateSource) ops.Check {
	return ops.Check{Name: "certificate", Run: func(context.Context) (string, error) {
		if source == nil {
			return "TLS is off", nil
		}
		var details []string
		served, expired := 0, false
		for _, info := range source.Certificates() {
			detail := fmt.Sprintf("%s: %d days left", info.Source, info.DaysLeft(time.Now()))
			switch {
			case info.NotAfter.IsZero():
				detail = info.Source + ": none yet"
			case time.Now().After(info.NotAfter):
				detail, expired = info.Source+": expired", true
			default:
				served++
			}
			if info.Warning != "" {
				detail += " (clients may refuse it: " + info.Warning + ")"
			}
			if info.Err != nil {
				detail += " (" + info.Err.Error() + ")"
			}
			details = append(details, detail)
		}
		report := strings.Join(details, "; ")
		if expired || served == 0 {
			return "", errors.New(report)
		}
		return report, nil
	}}
}

package etcdstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

func TestMistakesInTheConfigAreErrorsAtOnce(t *testing.T) {
	dir := t.TempDir()
	noCert := filepath.Join(dir, "empty.pem")
	require.NoError(t, os.WriteFile(noCert, nil, 0o600))
	good := []string{"127.0.0.1:2379"}
	for _, test := range []struct {
		conf Config
		want string
	}{
		{Config{}, "no etcd endpoint"},
		{Config{Endpoints: []string{"etcd"}}, `etcd endpoint "etcd": want host:port (etcd's usual port is 2379)`},
		{Config{Endpoints: []string{""}}, "want host:port"},
		{Config{Endpoints: []string{":2379"}}, "want host:port"},
		{Config{Endpoints: []string{"http://etcd"}}, "want host:port"},
		{Config{Endpoints: []string{"http://etcd:2379/path"}}, "nothing behind it"},
		{Config{Endpoints: []string{"http://user:secret@etcd:2379"}}, "their own settings"},
		{Config{Endpoints: []string{"ftp://etcd:2379"}}, "must use http"},
		{Config{Endpoints: []string{"http://etcd:port"}}, "invalid port"},
		{Config{Endpoints: []string{"a:2379", "https://b:2379"}}, "must use http, or all https"},
		{Config{Endpoints: []string{"http://etcd:2379"}, TLS: &TLS{}}, "TLS is enabled, but the endpoint says http://"},
		{Config{Endpoints: good, Password: "p"}, "no username"},
		{Config{Endpoints: good, DialTimeout: -1}, "negative"},
		{Config{Endpoints: good, TLS: &TLS{CAFile: filepath.Join(dir, "missing")}}, "no such file"},
		{Config{Endpoints: good, TLS: &TLS{CAFile: noCert}}, "no certificate in"},
		{Config{Endpoints: good, TLS: &TLS{CertFile: noCert}}, "together"},
		{Config{Endpoints: good, TLS: &TLS{CertFile: noCert, KeyFile: noCert}}, "read client certificate"},
	} {
		_, err := Dial(test.conf)
		require.ErrorContains(t, err, test.want)
		require.NotContains(t, err.Error(), "secret:")
	}
}

func TestAnEndpointThatIsNoEtcdIsLoggedWithTheReason(t *testing.T) {
	blackHole := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	chatty := listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example.org ESMTP\r\n") })
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	https := httptest.NewUnstartedServer(http.NotFoundHandler())
	https.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	https.StartTLS()
	t.Cleanup(https.Close)

	for _, test := range []struct {
		name, endpoint string
		tls            *TLS
		want           string
	}{
		{"nothing listens", freeAddress(t), nil, "connection refused"},
		{"nothing listens, as URL", "http://" + freeAddress(t), nil, "connection refused"},
		{"a web server", strings.TrimPrefix(web.URL, "http://"), nil, "it is not etcd (HTTP status 404)"},
		{"a server that wants TLS", strings.TrimPrefix(https.URL, "https://"), nil, "it wants TLS"},
		{"a server without TLS", strings.TrimPrefix(web.URL, "http://"), &TLS{}, "it doesn't speak TLS"},
		{"a certificate of nobody", https.URL, nil, "its certificate is not accepted"},
		{"a server of another protocol", chatty, nil, "not in HTTP"},
		{"a server that says nothing", blackHole, nil, "no answer within"},
		{"a name that is none", "no-such-host.invalid:2379", nil, "no-such-host.invalid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			logger, lines := observe()
			s := dial(t, Config{Endpoints: []string{test.endpoint}, TLS: test.tls, Logger: logger})
			var line observer.LoggedEntry
			require.Eventually(t, func() bool { // a busy machine has nothing to tell at first but that no answer came
				for _, line = range lines.FilterMessage("store is not reachable, it will be tried again until it is").All() {
					if strings.Contains(fmt.Sprint(line.ContextMap()["reason"]), test.want) {
						return true
					}
				}
				return false
			}, patience, 10*time.Millisecond)
			require.Equal(t, zapcore.WarnLevel, line.Level)
			require.Contains(t, line.ContextMap()["reason"], strings.SplitN(test.endpoint, "//", 2)[len(strings.SplitN(test.endpoint, "//", 2))-1])

			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, err := s.Get(ctx, "k")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, test.want, "errors of calls tell the reason, too")
		})
	}
}

func TestAnOutageIsLoggedOncePerChange(t *testing.T) {
	server := &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)}
	logger, lines := observe()
	s := dial(t, Config{Endpoints: []string{server.listen}, Logger: logger})
	const up, down = "store is reachable", "store is not reachable, it will be tried again until it is"
	await(t, lines, down)
	server.start(t)
	await(t, lines, up)
	require.Equal(t, 1, lines.FilterMessage(up).Len())
	put(t, s, "k")
	before := lines.FilterMessage(down).Len()
	server.stop(t)
	require.Eventually(t, func() bool { return lines.FilterMessage(down).Len() > before }, patience, 10*time.Millisecond)
	server.start(t)
	require.Eventually(t, func() bool { return lines.FilterMessage(up).Len() == 2 }, patience, 10*time.Millisecond)
	put(t, s, "k")
	reasons := map[string]int{}
	for _, line := range lines.All() {
		require.Contains(t, []string{up, down}, line.Message, "nothing else is said")
		if line.Message == down {
			reasons[line.ContextMap()["reason"].(string)]++
		}
	}
	for reason, times := range reasons {
		require.LessOrEqual(t, times, 2, "once in each of two outages: %s", reason)
	}
	server.stop(t)
}

func TestAUserMayBeAllowedHisPrefixOnly(t *testing.T) {
	server := &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)}
	server.start(t)
	defer server.stop(t)
	admin := server.store.client
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := admin.UserAdd(ctx, "root", "right"); return err },
		func(ctx context.Context) error { _, err := admin.UserGrantRole(ctx, "root", "root"); return err },
		func(ctx context.Context) error { _, err := admin.RoleAdd(ctx, "agent"); return err },
		func(ctx context.Context) error {
			_, err := admin.RoleGrantPermission(ctx, "agent", "p/", clientv3.GetPrefixRangeEnd("p/"), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func(ctx context.Context) error { _, err := admin.UserAdd(ctx, "agent", "agent"); return err },
		func(ctx context.Context) error { _, err := admin.UserGrantRole(ctx, "agent", "agent"); return err },
		func(ctx context.Context) error { _, err := admin.AuthEnable(ctx); return err },
	} {
		require.NoError(t, step(t.Context()))
	}

	logger, lines := observe()
	s := dial(t, Config{
		Endpoints: []string{server.listen}, Username: "agent", Password: "agent", Logger: logger,
		// A login is slow on purpose, and with the race detector on a busy machine it has taken
		// nine seconds.
		DialTimeout: time.Minute,
	})
	events := s.Watch(t.Context(), "p/", 0)
	put(t, s, "p/k")
	require.Equal(t, "p/k", next(t, events).Entry.Key)
	await(t, lines, "store is reachable")

	_, err := s.Get(t.Context(), "q")
	require.ErrorContains(t, err, "permission denied")
	s.Watch(t.Context(), "q", 0)
	line := await(t, lines, "watch was interrupted, it will go on where it was")
	require.Contains(t, line.ContextMap()["err"], "permission denied")
}

func TestAllFormsOfAnEndpointWork(t *testing.T) {
	server := &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)}
	server.start(t)
	defer server.stop(t)
	for _, endpoint := range []string{server.listen, "http://" + server.listen, "http://" + server.listen + "/"} {
		put(t, dial(t, Config{Endpoints: []string{endpoint}}), "k")
	}
}

func TestOneGoodEndpointIsEnough(t *testing.T) {
	server := &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)}
	server.start(t)
	defer server.stop(t)
	put(t, dial(t, Config{Endpoints: []string{freeAddress(t), server.listen}}), "k")
}

func TestACallWithoutADeadlineIsBounded(t *testing.T) {
	s := dial(t, Config{Endpoints: []string{freeAddress(t)}, DialTimeout: 20 * time.Millisecond, Logger: zap.NewNop()})
	_, err := s.Get(context.Background(), "k")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, `read "k" at etcd 127.0.0.1:`)
}

func TestAUserLogsInWhenTheServerAsksForIt(t *testing.T) {
	server := &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)}
	server.start(t)
	defer server.stop(t)
	open := dial(t, Config{Endpoints: []string{server.listen}, Username: "root", Password: "right"})
	put(t, open, "before authentication is enabled")

	admin := server.store.client
	_, err := admin.UserAdd(t.Context(), "root", "right")
	require.NoError(t, err)
	_, err = admin.UserGrantRole(t.Context(), "root", "root")
	require.NoError(t, err)
	_, err = admin.AuthEnable(t.Context())
	require.NoError(t, err)

	s := dial(t, Config{Endpoints: []string{server.listen}, Username: "root", Password: "right", DialTimeout: time.Minute})
	rev := put(t, s, "k")
	require.Equal(t, "k", next(t, s.Watch(t.Context(), "", rev-1)).Entry.Key)
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	require.NoError(t, sess.Close(t.Context()))

	for _, conf := range []Config{{Username: "root", Password: "wrong"}, {}} {
		logger, lines := observe()
		conf.Endpoints, conf.Logger, conf.DialTimeout = []string{server.listen}, logger, time.Minute
		s := dial(t, conf)
		const refusal = "authentication failed|user name is empty"
		_, err := s.Get(t.Context(), "k")
		require.Error(t, err)
		require.Regexp(t, refusal, err.Error())
		require.Eventually(t, func() bool {
			return lines.Filter(func(e observer.LoggedEntry) bool {
				return regexp.MustCompile(refusal).MatchString(fmt.Sprint(e.ContextMap()["reason"]))
			}).Len() > 0
		}, patience, 10*time.Millisecond)
	}
}

func TestTLSWithAClientCertificate(t *testing.T) {
	server := &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)}
	server.start(t)
	defer server.stop(t)
	certFile, keyFile, cert := selfSigned(t)
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	address := listenTLS(t, &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"},
	}, server.listen)

	s := dial(t, Config{
		Endpoints: []string{address},
		TLS:       &TLS{CertFile: certFile, KeyFile: keyFile, CAFile: certFile, ServerName: "etcd.test"},
	})
	put(t, s, "k")
	insecure := dial(t, Config{
		Endpoints: []string{"https://" + address},
		TLS:       &TLS{CertFile: certFile, KeyFile: keyFile, InsecureSkipVerify: true},
	})
	_, err := insecure.Get(t.Context(), "k")
	require.NoError(t, err)
	stranger := dial(t, Config{Endpoints: []string{address}, TLS: &TLS{CAFile: certFile, ServerName: "etcd.test"}, DialTimeout: time.Second})
	_, err = stranger.Get(t.Context(), "k")
	require.Error(t, err)
	require.NotErrorIs(t, err, cluster.ErrNotFound)
}

func FuzzEndpoint(f *testing.F) {
	for _, text := range []string{"etcd:2379", "http://etcd:2379", "https://[::1]:2379/", "://", "a:b:c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := (&Config{}).parseEndpoint(text)
		if err != nil {
			return
		}
		_, _, err = net.SplitHostPort(u.Host)
		require.NoError(t, err)
		again, err := (&Config{}).parseEndpoint(u.String())
		require.NoError(t, err)
		require.Equal(t, u, again)
	})
}

// observe returns a logger and what was logged to it.
func observe() (*zap.Logger, *observer.ObservedLogs) {
	core, lines := observer.New(zapcore.InfoLevel)
	return zap.New(core), lines
}

// await waits for a line and returns it.
func await(t *testing.T, lines *observer.ObservedLogs, message string) observer.LoggedEntry {
	t.Helper()
	require.Eventually(t, func() bool { return lines.FilterMessage(message).Len() > 0 }, patience, 10*time.Millisecond, message)
	return lines.FilterMessage(message).All()[0]
}

// listen serves connections until the end of the test, and returns the address.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	acceptAll(t, l, serve)
	return l.Addr().String()
}

// listenTLS ends TLS and passes on what is in it.
func listenTLS(t *testing.T, conf *tls.Config, to string) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	require.NoError(t, err)
	acceptAll(t, l, func(c net.Conn) {
		backend, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer backend.Close()
		go func() {
			_, _ = io.Copy(c, backend)
			c.Close()
		}()
		_, _ = io.Copy(backend, c)
	})
	return l.Addr().String()
}

func acceptAll(t *testing.T, l net.Listener, serve func(net.Conn)) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}

// selfSigned writes a certificate that is its own authority, for servers and clients.
func selfSigned(t *testing.T, addresses ...net.IP) (certFile, keyFile string, cert tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "etcd.test"},
		DNSNames: []string{"etcd.test"}, IPAddresses: addresses,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	cert, err = tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	return certFile, keyFile, cert
}

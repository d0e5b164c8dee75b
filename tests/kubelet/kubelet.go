// The part of a kubelet that port-forwards reach: /portForward/NAMESPACE/POD, served by upstream's own streaming code. Every pod is
// this machine, so port N of a pod is port N of 127.0.0.1. It prints its address, and ends with its standard input.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

type machine struct{}

func (machine) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	there, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer there.Close()
	defer stream.Close()
	go func() {
		_, _ = io.Copy(there, stream)
		_ = there.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, there)
	return err
}

func main() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		if len(parts) != 3 || parts[0] != "portForward" {
			http.NotFound(w, r)
			return
		}
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(
			w, r, machine{}, parts[2], "", options, time.Minute, 10*time.Second, portforward.SupportedProtocols)
	}))
	defer server.Close()
	fmt.Println(server.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

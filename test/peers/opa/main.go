// A provider of external authorization: Envoy's own service, decided by OPA's own engine. It prints one line of JSON with its
// port, and ends when its standard input does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/open-policy-agent/opa/v1/rego"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
)

type server struct {
	auth.UnimplementedAuthorizationServer
	query rego.PreparedEvalQuery
}

// What a policy may say, in the form of OPA's plugin for Envoy.
type decision struct {
	Allowed    bool              `json:"allowed"`
	HTTPStatus int32             `json:"http_status"`
	Headers    map[string]string `json:"headers"`
	Remove     []string          `json:"request_headers_to_remove"`
	Body       string            `json:"body"`
}

func (s *server) Check(ctx context.Context, request *auth.CheckRequest) (*auth.CheckResponse, error) {
	text, err := protojson.Marshal(request)
	if err != nil {
		return nil, err
	}
	var input any
	if err := json.Unmarshal(text, &input); err != nil {
		return nil, err
	}
	results, err := s.query.Eval(ctx, rego.EvalInput(input))
	if err != nil {
		return nil, err
	}
	var made decision
	if len(results) > 0 {
		made = read(results[0].Expressions[0].Value)
	}
	if made.Allowed {
		return &auth.CheckResponse{
			Status: &status.Status{Code: int32(codes.OK)},
			HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{
				Headers: options(made.Headers), HeadersToRemove: made.Remove,
			}},
		}, nil
	}
	if made.HTTPStatus == 0 {
		made.HTTPStatus = 403
	}
	return &auth.CheckResponse{
		Status: &status.Status{Code: int32(codes.PermissionDenied)},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode(made.HTTPStatus)}, Headers: options(made.Headers), Body: made.Body,
		}},
	}, nil
}

func read(value any) decision {
	if allowed, ok := value.(bool); ok {
		return decision{Allowed: allowed}
	}
	var made decision
	text, _ := json.Marshal(value)
	if json.Unmarshal(text, &made) != nil {
		return decision{}
	}
	return made
}

func options(headers map[string]string) []*core.HeaderValueOption {
	var all []*core.HeaderValueOption
	for key, value := range headers {
		all = append(all, &core.HeaderValueOption{Header: &core.HeaderValue{Key: key, Value: value}})
	}
	return all
}

func main() {
	policy, err := os.ReadFile(os.Args[1])
	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	query, err := rego.New(rego.Query("data.envoy.authz.allow"), rego.Module("policy.rego", string(policy))).PrepareForEval(ctx)
	must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	endpoint := grpc.NewServer()
	auth.RegisterAuthorizationServer(endpoint, &server{query: query})
	go func() { must(endpoint.Serve(listener)) }()
	fmt.Printf(`{"event":"ready","port":%d}`+"\n", listener.Addr().(*net.TCPAddr).Port)
	_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
	os.Exit(0)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

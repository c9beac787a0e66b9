package main

import (
	"context"
	"flag"
	"log"
	"os"
	"slices"
	"time"

	orcadata "github.com/cncf/xds/go/xds/data/orca/v3"
	orcaservice "github.com/cncf/xds/go/xds/service/orca/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/orca"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

const (
	caseTimeout       = 60 * time.Second
	orcaServiceConfig = `{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`
	serverName        = "the-only-one"
	soakIterations    = 50
	soakWorkers       = 5
	soakRequestBytes  = 271828
	soakResponseBytes = 314159
	soakSlowest       = 10 * time.Second
)

// interopRun is what a case is run with.
type interopRun struct {
	address    string
	authority  string
	connection *grpc.ClientConn
	client     testgrpc.TestServiceClient
}

type interopCase func(context.Context, interopRun)

func ofService(do func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) interopCase {
	return func(ctx context.Context, run interopRun) { do(ctx, run.client) }
}

// interopCases are all cases of grpc-go's client but those that need credentials of a cloud or TLS to the server:
// compute_engine_creds, service_account_creds, jwt_token_creds, per_rpc_creds, oauth2_auth_token,
// google_default_credentials, compute_engine_channel_credentials.
var interopCases = map[string]interopCase{
	"empty_unary":                 ofService(interop.DoEmptyUnaryCall),
	"large_unary":                 ofService(interop.DoLargeUnaryCall),
	"client_streaming":            ofService(interop.DoClientStreaming),
	"server_streaming":            ofService(interop.DoServerStreaming),
	"ping_pong":                   ofService(interop.DoPingPong),
	"empty_stream":                ofService(interop.DoEmptyStream),
	"timeout_on_sleeping_server":  ofService(interop.DoTimeoutOnSleepingServer),
	"cancel_after_begin":          ofService(interop.DoCancelAfterBegin),
	"cancel_after_first_response": ofService(interop.DoCancelAfterFirstResponse),
	"status_code_and_message":     ofService(interop.DoStatusCodeAndMessage),
	"special_status_message":      ofService(interop.DoSpecialStatusMessage),
	"custom_metadata":             ofService(interop.DoCustomMetadata),
	"unimplemented_method": func(ctx context.Context, run interopRun) {
		interop.DoUnimplementedMethod(ctx, run.connection)
	},
	"unimplemented_service": func(ctx context.Context, run interopRun) {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(run.connection))
	},
	"pick_first_unary": func(ctx context.Context, run interopRun) { interop.DoPickFirstUnary(ctx, run.client) },
	"orca_per_rpc":     func(ctx context.Context, run interopRun) { interop.DoORCAPerRPCTest(ctx, run.client) },
	"orca_oob":         func(ctx context.Context, run interopRun) { interop.DoORCAOOBTest(ctx, run.client) },
	"rpc_soak": func(ctx context.Context, run interopRun) {
		soak(ctx, run.address, func() (*grpc.ClientConn, func()) { return run.connection, func() {} })
	},
	"channel_soak": func(ctx context.Context, run interopRun) {
		soak(ctx, run.address, func() (*grpc.ClientConn, func()) {
			connection := connect(run.address, run.authority)
			return connection, func() { connection.Close() }
		})
	},
}

func keys[V any](of map[string]V) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func soak(ctx context.Context, address string, channel func() (*grpc.ClientConn, func())) {
	interop.DoSoakTest(ctx, interop.SoakTestConfig{
		RequestSize:                      soakRequestBytes,
		ResponseSize:                     soakResponseBytes,
		PerIterationMaxAcceptableLatency: soakSlowest,
		OverallTimeout:                   caseTimeout,
		ServerAddr:                       address,
		NumWorkers:                       soakWorkers,
		Iterations:                       soakIterations,
		ChannelForTest:                   channel,
	})
}

// interopClient runs one case; a case that fails ends the program with status 1 and its reason on standard error.
func interopClient(arguments []string) {
	flags := flag.NewFlagSet("interop-client", flag.ExitOnError)
	address := flags.String("address", "", "HOST:PORT to connect to")
	authority := flags.String("authority", "", ":authority of the calls; default the address")
	name := flags.String("case", "", "name of the case")
	flags.Parse(arguments)

	do, known := interopCases[*name]
	if !known {
		log.Fatalf("no case %q; there are %v", *name, keys(interopCases))
	}
	var options []grpc.DialOption
	if *name == "orca_per_rpc" || *name == "orca_oob" {
		options = append(options, grpc.WithDefaultServiceConfig(orcaServiceConfig))
	}
	connection := connect(*address, *authority, options...)
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), caseTimeout)
	defer cancel()
	do(ctx, interopRun{*address, *authority, connection, testgrpc.NewTestServiceClient(connection)})
}

func interopServer([]string) {
	server := grpc.NewServer(orca.CallMetricsServerOption(nil))
	recorder := orca.NewServerMetricsRecorder()
	orcaservice.RegisterOpenRcaServiceServer(server, loadReports{recorder: recorder})
	service := interop.NewTestServer(interop.NewTestServerOptions{MetricsRecorder: recorder})
	testgrpc.RegisterTestServiceServer(server, namedServer{service})
	serve(server)
}

// namedServer is interop's server with a name, which pick_first_unary asks for and grpc-go's own server lacks.
type namedServer struct{ testgrpc.TestServiceServer }

func (s namedServer) UnaryCall(ctx context.Context, request *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	response, err := s.TestServiceServer.UnaryCall(ctx, request)
	if err == nil && request.GetFillServerId() {
		response.ServerId = serverName
	}
	return response, err
}

// loadReports is orca.Service without its least interval of 30 s, which only grpc-go's own programs can lower.
type loadReports struct {
	orcaservice.UnimplementedOpenRcaServiceServer
	recorder orca.ServerMetricsProvider
}

func (l loadReports) StreamCoreMetrics(
	request *orcaservice.OrcaLoadReportRequest,
	stream orcaservice.OpenRcaService_StreamCoreMetricsServer,
) error {
	ticker := time.NewTicker(request.GetReportInterval().AsDuration())
	defer ticker.Stop()
	for {
		metrics := l.recorder.ServerMetrics()
		report := &orcadata.OrcaLoadReport{
			CpuUtilization: max(metrics.CPUUtilization, 0),
			MemUtilization: max(metrics.MemUtilization, 0),
			Utilization:    metrics.Utilization,
		}
		if err := stream.Send(report); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-ticker.C:
		}
	}
}

// interopTypes writes the descriptor set of the interop services, with all imports, to standard output.
func interopTypes([]string) {
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		imports := file.Imports()
		for index := range imports.Len() {
			add(imports.Get(index).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	add(testpb.File_grpc_testing_test_proto)
	add(orcaservice.File_xds_service_orca_v3_orca_proto)
	bytes, err := proto.Marshal(set)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(bytes); err != nil {
		log.Fatal(err)
	}
}

// Translates authorization policies to Envoy's filters by istiod's own packages: a JSON question a line in, a JSON answer a line out.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	securityapi "istio.io/api/security/v1beta1"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/security/authz/builder"
	"istio.io/istio/pilot/pkg/security/trustdomain"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/config/validation"
	"istio.io/istio/pkg/log"
)

// maxLineBytes is the longest question that is read.
const maxLineBytes = 16 << 20

type policy struct {
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	Annotations map[string]string `json:"annotations"`
	Spec        json.RawMessage   `json:"spec"`
}

type question struct {
	TrustDomains  []string `json:"trustDomains"`
	RootNamespace string   `json:"rootNamespace"`
	Workload      struct {
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"workload"`
	Policies []policy `json:"policies"`
}

// answer has either a complaint of istiod's validation or the filters.
type answer struct {
	Invalid string            `json:"invalid,omitempty"`
	HTTP    []json.RawMessage `json:"http"`
	TCP     []json.RawMessage `json:"tcp"`
}

func main() {
	quiet := log.DefaultOptions()
	quiet.SetDefaultOutputLevel(log.OverrideScopeName, log.NoneLevel)
	if err := log.Configure(quiet); err != nil {
		fail(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxLineBytes)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			fail(err)
		}
		told, err := translate(asked)
		if err != nil {
			fail(err)
		}
		if err := out.Encode(told); err != nil {
			fail(err)
		}
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
}

func translate(asked question) (answer, error) {
	policies := model.AuthorizationPolicies{
		NamespaceToPolicies: map[string][]model.AuthorizationPolicy{},
		RootNamespace:       asked.RootNamespace,
	}
	for _, given := range asked.Policies {
		spec := &securityapi.AuthorizationPolicy{}
		if err := protojson.Unmarshal(given.Spec, spec); err != nil {
			return answer{Invalid: err.Error()}, nil
		}
		meta := config.Meta{
			GroupVersionKind: gvk.AuthorizationPolicy,
			Name:             given.Name, Namespace: given.Namespace, Annotations: given.Annotations,
		}
		if _, err := validation.ValidateAuthorizationPolicy(config.Config{Meta: meta, Spec: spec}); err != nil {
			return answer{Invalid: err.Error()}, nil
		}
		policies.NamespaceToPolicies[given.Namespace] = append(policies.NamespaceToPolicies[given.Namespace],
			model.AuthorizationPolicy{Name: given.Name, Namespace: given.Namespace, Annotations: given.Annotations, Spec: spec})
	}
	binding := policies.ListAuthorizationPolicies(model.WorkloadPolicyMatcher{
		WorkloadNamespace: asked.Workload.Namespace,
		WorkloadLabels:    asked.Workload.Labels,
		RootNamespace:     asked.RootNamespace,
	})
	told := answer{HTTP: []json.RawMessage{}, TCP: []json.RawMessage{}}
	domains := trustdomain.NewBundle(asked.TrustDomains[0], asked.TrustDomains[1:])
	built := builder.New(domains, nil, binding, builder.Option{})
	if built == nil {
		return told, nil
	}
	var err error
	if told.HTTP, err = texts(built.BuildHTTP()); err != nil {
		return answer{}, err
	}
	told.TCP, err = texts(built.BuildTCP())
	return told, err
}

func texts[T proto.Message](filters []T) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for _, filter := range filters {
		text, err := protojson.Marshal(filter)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

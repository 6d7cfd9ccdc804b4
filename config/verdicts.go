package config

import (
	"slices"
	"strings"
)

// verdicts sorts the keys of one type, each list separated by blanks.
type verdicts struct {
	plain, address, secret, parameters, headers, labelSet, rewritten string
	file, ambient, executed, metadata                                string
}

// judge returns the verdict on a key that the type called owner declares.
func judge(owner, key string) verdict {
	v := verdictsOn(owner)
	for _, list := range []struct {
		keys string
		verdict
	}{
		{v.plain, shown}, {v.address, address}, {v.secret, secret}, {v.parameters, parameters}, {v.headers, headers}, {v.labelSet, labelSet},
		{v.rewritten, rewritten}, {v.file, file}, {v.ambient, ambient}, {v.executed, executed}, {v.metadata, metadata},
	} {
		if slices.Contains(strings.Fields(list.keys), key) {
			return list.verdict
		}
	}
	return unjudged
}

// verdictsOn is the table. Where a key is new in Prometheus, read what its code does with the
// value, also with an empty one, before it is put into a list; what is taken from the machine in
// its absence goes into needed.
func verdictsOn(owner string) verdicts {
	switch owner {
	case "config.TracingConfig":
		return verdicts{plain: "client_type sampling_fraction insecure tls_config compression timeout", address: "endpoint", headers: "headers"}
	case "config.instanceFile":
		return verdicts{plain: `name host_filter host_filter_relabel_configs scrape_configs remote_write wal_truncate_frequency min_wal_time
			max_wal_time remote_flush_deadline write_stale_on_shutdown slices compatibility`}
	case "config.Endpoint":
		return verdicts{plain: "strict_spec recent_first"}
	case "config.RemoteWriteConfig", "config.QueueConfig", "config.MetadataConfig", "sigv4.SigV4Config", "googleiam.Config":
		return verdictsOnReceivers(owner)
	}
	if strings.HasPrefix(owner, "azuread.") {
		return verdictsOnReceivers(owner)
	}
	if strings.HasPrefix(owner, "config.") || strings.HasPrefix(owner, "relabel.") {
		return verdictsOnJobs(owner)
	}
	if strings.HasPrefix(owner, "aws.") {
		return verdictsOnAWS(owner)
	}
	return verdictsOnDiscoveries(owner)
}

func verdictsOnJobs(owner string) verdicts {
	switch owner {
	case "config.ScrapeConfig":
		return verdicts{
			plain: `job_name honor_labels honor_timestamps track_timestamps_staleness scrape_interval scrape_timeout scrape_protocols
				fallback_scrape_protocol scrape_native_histograms always_scrape_classic_histograms convert_classic_histograms_to_nhcb
				metrics_path scheme enable_compression body_size_limit sample_limit target_limit label_limit label_name_length_limit
				label_value_length_limit native_histogram_bucket_limit native_histogram_min_bucket_factor keep_dropped_targets
				metric_name_validation_scheme metric_name_escaping_scheme extra_scrape_metrics relabel_configs metric_relabel_configs
				static_configs aws_sd_configs azure_sd_configs consul_sd_configs digitalocean_sd_configs dns_sd_configs docker_sd_configs
				dockerswarm_sd_configs ec2_sd_configs ecs_sd_configs elasticache_sd_configs eureka_sd_configs hetzner_sd_configs
				http_sd_configs ionos_sd_configs kubernetes_sd_configs kuma_sd_configs lightsail_sd_configs linode_sd_configs
				marathon_sd_configs msk_sd_configs nerve_sd_configs nomad_sd_configs oci_sd_configs openstack_sd_configs outscale_sd_configs
				ovhcloud_sd_configs puppetdb_sd_configs rds_sd_configs scaleway_sd_configs serverset_sd_configs stackit_sd_configs
				triton_sd_configs uyuni_sd_configs vultr_sd_configs`,
			parameters: "params",
			file:       "scrape_failure_log_file file_sd_configs",
			// Google's client finds its credentials by itself, always.
			metadata: "gce_sd_configs",
		}
	case "config.staticGroup":
		return verdicts{address: "targets", labelSet: "labels"}
	case "relabel.Config":
		return verdicts{plain: "source_labels separator modulus target_label action", rewritten: "regex replacement"}
	case "config.HTTPClientConfig":
		return verdicts{
			plain:   "basic_auth authorization oauth2 tls_config follow_redirects enable_http2",
			secret:  "bearer_token",
			headers: "http_headers",
			file:    "bearer_token_file",
		}
	case "config.ProxyConfig":
		return verdicts{plain: "no_proxy", address: "proxy_url", headers: "proxy_connect_header", ambient: "proxy_from_environment"}
	case "config.BasicAuth":
		return verdicts{plain: "username username_ref password_ref", secret: "password", file: "username_file password_file"}
	case "config.Authorization":
		return verdicts{plain: "type credentials_ref", secret: "credentials", file: "credentials_file"}
	case "config.OAuth2":
		return verdicts{
			plain: `client_id client_secret_ref client_certificate_key_id client_certificate_key_ref grant_type signature_algorithm iss audience
				scopes tls_config`,
			address:    "token_url",
			secret:     "client_secret client_certificate_key claims",
			parameters: "endpoint_params",
			file:       "client_secret_file client_certificate_key_file",
		}
	case "config.TLSConfig":
		return verdicts{
			plain:  "ca cert ca_ref cert_ref key_ref server_name insecure_skip_verify min_version max_version",
			secret: "key",
			file:   "ca_file cert_file key_file",
		}
	case "config.Header":
		return verdicts{secret: "values secrets", file: "files"}
	}
	return verdicts{}
}

func verdictsOnReceivers(owner string) verdicts {
	switch owner {
	case "config.RemoteWriteConfig":
		return verdicts{
			plain: `remote_timeout write_relabel_configs name send_exemplars send_native_histograms round_robin_dns protobuf_message
				failed_request_logging queue_config metadata_config sigv4 azuread google_iam`,
			address: "url",
			headers: "headers",
		}
	case "config.QueueConfig":
		return verdicts{plain: `capacity max_shards min_shards max_samples_per_send batch_send_deadline min_backoff max_backoff retry_on_http_429
			sample_age_limit`}
	case "config.MetadataConfig":
		return verdicts{plain: "send send_interval max_samples_per_send"}
	case "sigv4.SigV4Config":
		return verdicts{
			plain:  "region role_arn session_name tags use_fips_sts_endpoint service_name",
			secret: "access_key secret_key external_id",
			file:   "profile",
		}
	case "googleiam.Config":
		return verdicts{file: "credentials_file"}
	case "azuread.AzureADConfig":
		return verdicts{plain: "oauth certificate cloud scope", executed: "sdk", metadata: "managed_identity", ambient: "workload_identity"}
	case "azuread.OAuthConfig":
		return verdicts{plain: "client_id tenant_id", secret: "client_secret"}
	case "azuread.CertificateConfig":
		return verdicts{
			plain:  "client_id tenant_id send_certificate_chain",
			secret: "certificate_password",
			file:   "certificate_path certificate_key_path",
		}
	case "azuread.SDKConfig":
		return verdicts{plain: "tenant_id"}
	case "azuread.ManagedIdentityConfig":
		return verdicts{plain: "client_id"}
	case "azuread.WorkloadIdentityConfig":
		return verdicts{plain: "client_id tenant_id", file: "token_file_path"}
	}
	return verdicts{}
}

func verdictsOnAWS(owner string) verdicts {
	if owner == "aws.Filter" {
		return verdicts{plain: "name values"}
	}
	// The profile picks from the machine's credentials file.
	return verdicts{
		plain:   "role region role_arn refresh_interval port filters clusters request_concurrency",
		address: "endpoint",
		secret:  "access_key secret_key external_id",
		file:    "profile",
	}
}

func verdictsOnDiscoveries(owner string) verdicts {
	switch owner {
	case "azure.SDConfig":
		return verdicts{
			plain:  "environment port subscription_id tenant_id client_id refresh_interval authentication_method resource_group",
			secret: "client_secret",
		}
	case "consul.SDConfig":
		return verdicts{
			plain: `path_prefix datacenter namespace partition tag_separator scheme username allow_stale refresh_interval services tags node_meta
				filter health_filter`,
			address: "server",
			secret:  "token password",
		}
	case "dns.SDConfig":
		return verdicts{plain: "names refresh_interval type port"}
	case "eureka.SDConfig":
		return verdicts{plain: "refresh_interval", address: "server"}
	case "file.SDConfig":
		return verdicts{plain: "refresh_interval", file: "files"}
	case "gce.SDConfig":
		return verdicts{plain: "project zone filter refresh_interval port tag_separator"}
	case "hetzner.SDConfig", "digitalocean.SDConfig", "vultr.SDConfig", "ionos.SDConfig", "linode.SDConfig":
		return verdicts{plain: "refresh_interval port role label_selector datacenter_id tag_separator region"}
	case "http.SDConfig":
		return verdicts{plain: "refresh_interval", address: "url"}
	case "marathon.SDConfig":
		return verdicts{plain: "refresh_interval", address: "servers", secret: "auth_token", file: "auth_token_file"}
	case "moby.DockerSDConfig", "moby.DockerSwarmSDConfig":
		return verdicts{plain: "port filters host_networking_host refresh_interval match_first_network role", address: "host"}
	case "moby.Filter":
		return verdicts{plain: "name values"}
	case "nomad.SDConfig":
		return verdicts{plain: "allow_stale namespace refresh_interval region tag_separator", address: "server"}
	case "puppetdb.SDConfig":
		return verdicts{plain: "refresh_interval query include_parameters port", address: "url"}
	case "triton.SDConfig":
		return verdicts{plain: "account role dns_suffix groups port refresh_interval tls_config version", address: "endpoint"}
	case "uyuni.SDConfig":
		return verdicts{plain: "username entitlement separator refresh_interval", address: "server", secret: "password"}
	case "xds.SDConfig", "xds.KumaSDConfig":
		return verdicts{plain: "refresh_interval fetch_timeout client_id", address: "server"}
	case "zookeeper.ServersetSDConfig", "zookeeper.NerveSDConfig":
		return verdicts{plain: "paths timeout", address: "servers"}
	}
	return verdictsOnClouds(owner)
}

func verdictsOnClouds(owner string) verdicts {
	switch owner {
	case "kubernetes.SDConfig":
		return verdicts{plain: "role namespaces selectors attach_metadata", address: "api_server", file: "kubeconfig_file"}
	case "kubernetes.NamespaceDiscovery":
		return verdicts{plain: "names", ambient: "own_namespace"}
	case "kubernetes.SelectorConfig":
		return verdicts{plain: "role label field"}
	case "kubernetes.AttachMetadataConfig", "kubernetes.PodMetadataConfig":
		return verdicts{plain: "node namespace deployment job cronjob pod"}
	case "oci.SDConfig":
		return verdicts{
			plain:  "auth tenancy user fingerprint region compartments port refresh_interval",
			secret: "key_passphrase",
			file:   "key_file key_passphrase_file",
		}
	case "openstack.SDConfig":
		return verdicts{
			plain: `username userid project_name project_id domain_name domain_id application_credential_name application_credential_id role region
				refresh_interval port all_tenants tls_config availability`,
			address: "identity_endpoint",
			secret:  "password application_credential_secret",
		}
	case "outscale.SDConfig":
		return verdicts{plain: "region refresh_interval port", address: "endpoint", secret: "access_key secret_key", file: "secret_key_file"}
	case "ovhcloud.SDConfig":
		return verdicts{plain: "refresh_interval service", address: "endpoint", secret: "application_key application_secret consumer_key"}
	case "scaleway.SDConfig":
		return verdicts{
			plain:   "project_id zone name_filter tags_filter refresh_interval port role",
			address: "api_url",
			secret:  "access_key secret_key",
			file:    "secret_key_file",
		}
	case "stackit.SDConfig":
		return verdicts{
			plain:   "project refresh_interval port region",
			address: "endpoint",
			secret:  "service_account_key private_key",
			file:    "service_account_key_path private_key_path credentials_file_path",
		}
	}
	return verdicts{}
}

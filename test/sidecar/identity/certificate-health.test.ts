import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { openAdmin } from '#sidecar/admin/open-admin.ts';
import { certificateHealth } from '#sidecar/identity/certificate-health.ts';
import { certificateReport } from '#sidecar/identity/certificate-report.ts';
import { MAX_FAILURE_CODES, RenewalRecord } from '#sidecar/identity/renewal-record.ts';
import { PolicyStatus } from '#sidecar/policy/policy-status.ts';
import { certificateGauges } from '#sidecar/telemetry/certificate-gauges.ts';
import { TestAuthority } from '../../support/certificates.ts';

CREATE TABLE `api_keys` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`hash` blob NOT NULL,
	`scopes` text NOT NULL,
	`customer_id` text,
	`created_at` integer NOT NULL,
	`created_by` text NOT NULL,
	`expires_at` integer,
	`revoked_at` integer,
	`last_used_at` integer
);

CREATE UNIQUE INDEX `api_keys_hash_unique` ON `api_keys` (`hash`);
CREATE INDEX `api_keys_by_customer` ON `api_keys` (`customer_id`,`id`);
CREATE TABLE `agent_identities` (
	`identifier` text PRIMARY KEY NOT NULL,
	`agent_id` text NOT NULL,
	`token_id` text NOT NULL,
	`chain` blob NOT NULL,
	`kid` text NOT NULL,
	`x25519` blob NOT NULL,
	`former_kid` text,
	`former_x25519` blob,
	`kms_key` text NOT NULL,
	`solaris_key` blob NOT NULL,
	`enrolled_at` integer NOT NULL,
	`opened_at` integer,
	`expires_at` integer NOT NULL,
	`revoked_at` integer,
	`revoked_reason` text,
	`version` integer NOT NULL,
	FOREIGN KEY (`agent_id`) REFERENCES `agents`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE INDEX `agent_identities_by_agent` ON `agent_identities` (`agent_id`);
CREATE INDEX `agent_identities_by_revocation` ON `agent_identities` (`revoked_at`);
CREATE TABLE `agent_slots` (
	`agent_id` text NOT NULL,
	`slot` integer NOT NULL,
	`identifier` text NOT NULL,
	`epoch` integer NOT NULL,
	`continuity` blob NOT NULL,
	`former_continuity` blob,
	`ready_at` integer,
	`opened_at` integer NOT NULL,
	`nexus` text NOT NULL,
	PRIMARY KEY(`agent_id`, `slot`),
	FOREIGN KEY (`agent_id`) REFERENCES `agents`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE TABLE `agents` (
	`id` text PRIMARY KEY NOT NULL,
	`customer_id` text NOT NULL,
	`licence_id` text NOT NULL,
	`name` text NOT NULL,
	`role` text NOT NULL,
	`attributes` text NOT NULL,
	`copy_policy` text NOT NULL,
	`identifier` text,
	`held_at` integer,
	`created_at` integer NOT NULL,
	`created_by` text NOT NULL,
	`revoked_at` integer,
	`revoked_reason` text,
	`version` integer NOT NULL,
	FOREIGN KEY (`customer_id`) REFERENCES `customers`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`licence_id`) REFERENCES `licences`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE UNIQUE INDEX `agents_by_name` ON `agents` (`customer_id`,`name`);
CREATE INDEX `agents_by_identifier` ON `agents` (`identifier`);
CREATE INDEX `agents_by_licence` ON `agents` (`licence_id`);
CREATE INDEX `agents_by_revocation` ON `agents` (`revoked_at`);
CREATE TABLE `enrollment_tokens` (
	`id` text PRIMARY KEY NOT NULL,
	`agent_id` text NOT NULL,
	`secret_hash` text NOT NULL,
	`created_at` integer NOT NULL,
	`created_by` text NOT NULL,
	`expires_at` integer NOT NULL,
	`reissue` integer NOT NULL,
	`cancelled_at` integer,
	`redeemed_at` integer,
	`redeemed_by` text,
	`address` text,
	`hostname` text,
	`version` text,
	`platform` text,
	FOREIGN KEY (`agent_id`) REFERENCES `agents`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE INDEX `enrollment_tokens_by_agent` ON `enrollment_tokens` (`agent_id`,`created_at`);
CREATE TABLE `idempotent_answers` (
	`id` text PRIMARY KEY NOT NULL,
	`body_hash` blob NOT NULL,
	`at` integer NOT NULL,
	`answer` blob NOT NULL
);

CREATE INDEX `idempotent_answers_by_time` ON `idempotent_answers` (`at`);
CREATE TABLE `audit_checkpoints` (
	`number` integer PRIMARY KEY NOT NULL,
	`time` integer NOT NULL,
	`statement` text NOT NULL
);

CREATE TABLE `audit_entries` (
	`number` integer PRIMARY KEY NOT NULL,
	`time` integer NOT NULL,
	`actor` text NOT NULL,
	`action` text NOT NULL,
	`subject` text,
	`customer_id` text,
	`detail` text NOT NULL,
	`previous` blob NOT NULL,
	`hash` blob NOT NULL
);

CREATE INDEX `audit_by_customer` ON `audit_entries` (`customer_id`,`number`);
CREATE INDEX `audit_by_subject` ON `audit_entries` (`subject`,`number`);
CREATE TABLE `audit_summaries` (
	`source` text NOT NULL,
	`minute` integer NOT NULL,
	`entry` integer NOT NULL,
	PRIMARY KEY(`source`, `minute`)
);

CREATE TABLE `kms_uses` (
	`minute` integer NOT NULL,
	`operation` text NOT NULL,
	`key` text NOT NULL,
	`purpose` text NOT NULL,
	`count` integer NOT NULL,
	PRIMARY KEY(`minute`, `operation`, `key`, `purpose`)
);

CREATE TABLE `authority_chains` (
	`length` integer PRIMARY KEY NOT NULL,
	`identifier` text NOT NULL,
	`chain` blob NOT NULL,
	`sign_key` text NOT NULL,
	`agree_key` text NOT NULL,
	`created_at` integer NOT NULL,
	`finished_at` integer
);

CREATE TABLE `revocation_lists` (
	`number` integer PRIMARY KEY NOT NULL,
	`statement` text NOT NULL,
	`created_at` integer NOT NULL
);

CREATE TABLE `commands` (
	`id` text PRIMARY KEY NOT NULL,
	`customer_id` text NOT NULL,
	`agent_id` text NOT NULL,
	`name` text NOT NULL,
	`detail` text NOT NULL,
	`created_at` integer NOT NULL,
	`created_by` text NOT NULL,
	`expires_at` integer NOT NULL,
	`answered_at` integer,
	`ok` integer,
	`code` text,
	`reason` text,
	`result` blob
);

CREATE INDEX `commands_by_agent` ON `commands` (`agent_id`,`id`);
CREATE INDEX `commands_by_customer` ON `commands` (`customer_id`,`id`);
CREATE TABLE `customers` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`note` text NOT NULL,
	`require_e2e` integer DEFAULT false NOT NULL,
	`created_at` integer NOT NULL,
	`version` integer NOT NULL
);

CREATE TABLE `licences` (
	`id` text PRIMARY KEY NOT NULL,
	`customer_id` text NOT NULL,
	`name` text NOT NULL,
	`key_hash` blob NOT NULL,
	`key` blob NOT NULL,
	`tier` text NOT NULL,
	`capabilities` text NOT NULL,
	`rate_limit_rpm` integer NOT NULL,
	`backend_access` text NOT NULL,
	`attributes` text NOT NULL,
	`valid_from` integer NOT NULL,
	`valid_until` integer,
	`suspended_at` integer,
	`suspended_reason` text,
	`created_at` integer NOT NULL,
	`version` integer NOT NULL,
	FOREIGN KEY (`customer_id`) REFERENCES `customers`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE UNIQUE INDEX `licences_key_hash_unique` ON `licences` (`key_hash`);
CREATE INDEX `licences_by_customer` ON `licences` (`customer_id`,`id`);
CREATE INDEX `licences_by_suspension` ON `licences` (`suspended_at`);
CREATE INDEX `licences_by_end` ON `licences` (`valid_until`);
CREATE TABLE `desired_reports` (
	`agent_id` text PRIMARY KEY NOT NULL,
	`number` integer NOT NULL,
	`skipped` integer,
	`items` text NOT NULL,
	`at` integer NOT NULL
);

CREATE TABLE `desired_states` (
	`agent_id` text NOT NULL,
	`number` integer NOT NULL,
	`kid` text,
	`statement` text,
	`versions` text NOT NULL,
	`created_at` integer NOT NULL,
	`published_at` integer,
	PRIMARY KEY(`agent_id`, `number`)
);

CREATE INDEX `desired_states_unpublished` ON `desired_states` (`agent_id`) WHERE published_at IS NULL AND statement IS NOT NULL;
CREATE INDEX `desired_states_by_time` ON `desired_states` (`created_at`);
CREATE TABLE `plugin_versions` (
	`agent_id` text NOT NULL,
	`name` text NOT NULL,
	`version` integer NOT NULL,
	`type` text NOT NULL,
	`enabled` integer NOT NULL,
	`shown` text NOT NULL,
	`config` blob NOT NULL,
	`lane` text NOT NULL,
	`receive_schema` text,
	`sealing` text,
	`restores` integer,
	`deleted` integer NOT NULL,
	`created_at` integer NOT NULL,
	`created_by` text NOT NULL,
	PRIMARY KEY(`agent_id`, `name`, `version`)
);

CREATE INDEX `plugin_versions_by_time` ON `plugin_versions` (`created_at`);
CREATE TABLE `plugins` (
	`agent_id` text NOT NULL,
	`name` text NOT NULL,
	`customer_id` text NOT NULL,
	`version` integer NOT NULL,
	`type` text NOT NULL,
	`enabled` integer NOT NULL,
	`shown` text NOT NULL,
	`lane` text NOT NULL,
	`receive_schema` text,
	`sealing` text,
	`updated_at` integer NOT NULL,
	`updated_by` text NOT NULL,
	`deleted_at` integer,
	PRIMARY KEY(`agent_id`, `name`)
);

CREATE INDEX `plugins_by_customer` ON `plugins` (`customer_id`,`agent_id`,`name`);
CREATE TABLE `gateways` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`key_hash` blob NOT NULL,
	`origins` text NOT NULL,
	`customer_id` text,
	`created_at` integer NOT NULL,
	`revoked_at` integer
);

CREATE UNIQUE INDEX `gateways_key_hash_unique` ON `gateways` (`key_hash`);
CREATE TABLE `nexus_replicas` (
	`identifier` text PRIMARY KEY NOT NULL,
	`gateway_id` text NOT NULL,
	`hostname` text NOT NULL,
	`version` text NOT NULL,
	`started_at` integer NOT NULL,
	`seen_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`revoked_at` integer,
	FOREIGN KEY (`gateway_id`) REFERENCES `gateways`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE INDEX `nexus_replicas_by_gateway` ON `nexus_replicas` (`gateway_id`,`seen_at`);
CREATE TABLE `lane_progress` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`lane` integer NOT NULL,
	`stream` text NOT NULL,
	`stored` integer NOT NULL,
	`applied` integer NOT NULL,
	`at` integer NOT NULL
);

CREATE INDEX `lane_progress_by_stored` ON `lane_progress` (`lane`,`stream`,`stored`);
CREATE INDEX `lane_progress_by_applied` ON `lane_progress` (`lane`,`stream`,`applied`);
CREATE TABLE `lane_streams` (
	`lane` integer NOT NULL,
	`stream` text NOT NULL,
	`stored` integer NOT NULL,
	`applied` integer NOT NULL,
	`at` integer NOT NULL,
	`waiting` text,
	PRIMARY KEY(`lane`, `stream`)
);

CREATE TABLE `lanes` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`customer_id` text NOT NULL,
	`agent_id` text NOT NULL,
	`plugin` text NOT NULL,
	`up_generation` integer DEFAULT 0 NOT NULL,
	`up_number` integer DEFAULT 0 NOT NULL,
	`up_at` integer
);

CREATE UNIQUE INDEX `lanes_by_name` ON `lanes` (`agent_id`,`plugin`);
CREATE INDEX `lanes_by_customer` ON `lanes` (`customer_id`,`id`);
CREATE TABLE `leases` (
	`name` text PRIMARY KEY NOT NULL,
	`holder` text NOT NULL,
	`number` integer NOT NULL,
	`until` integer NOT NULL
);

CREATE TABLE `letters` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`lane` integer NOT NULL,
	`kind` text NOT NULL,
	`message` text,
	`code` text NOT NULL,
	`reason` text,
	`tries` integer,
	`position` integer,
	`content_type` text,
	`size` integer NOT NULL,
	`at` integer NOT NULL,
	`stored_at` integer NOT NULL,
	`settled` text,
	`settled_at` integer,
	`replay` text,
	`origin` text NOT NULL,
	`body` blob NOT NULL
);

CREATE UNIQUE INDEX `letters_origin_unique` ON `letters` (`origin`);
CREATE INDEX `letters_by_lane` ON `letters` (`lane`,`id`);
CREATE INDEX `letters_by_message` ON `letters` (`message`);
CREATE TABLE `messages` (
	`place` integer PRIMARY KEY NOT NULL,
	`id` text NOT NULL,
	`lane` integer NOT NULL,
	`size` integer NOT NULL,
	`content_type` text,
	`body_hash` blob,
	`replays` text,
	`outcome` text,
	`code` text,
	`reason` text,
	`tries` integer,
	`outcome_at` integer
);

CREATE UNIQUE INDEX `messages_by_id` ON `messages` (`id`,`lane`);
CREATE INDEX `messages_by_outcome` ON `messages` (`outcome`,`place`) WHERE outcome IS NOT NULL;
CREATE TABLE `push_entries` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`token` text NOT NULL,
	`lane` integer NOT NULL,
	`count` integer NOT NULL,
	`created_at` integer NOT NULL,
	`held_until` integer NOT NULL,
	`stream` text,
	`seq` integer,
	`entry` blob
);

CREATE UNIQUE INDEX `push_entries_token_unique` ON `push_entries` (`token`);
CREATE INDEX `push_entries_by_lane` ON `push_entries` (`lane`,`id`);
CREATE INDEX `push_entries_by_place` ON `push_entries` (`lane`,`stream`,`seq`);
CREATE INDEX `push_entries_unplaced` ON `push_entries` (`held_until`) WHERE seq IS NULL;
CREATE TABLE `quarantine` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`lane` integer NOT NULL,
	`kind` text NOT NULL,
	`code` text NOT NULL,
	`reason` text NOT NULL,
	`message` text,
	`content_type` text,
	`size` integer NOT NULL,
	`at` integer NOT NULL,
	`time` integer,
	`origin` text NOT NULL,
	`body` blob NOT NULL,
	`settled` text,
	`settled_at` integer,
	`received_seq` integer
);

CREATE UNIQUE INDEX `quarantine_origin_unique` ON `quarantine` (`origin`);
CREATE INDEX `quarantine_by_lane` ON `quarantine` (`lane`,`id`);
CREATE TABLE `rate_windows` (
	`licence` text NOT NULL,
	`minute` integer NOT NULL,
	`used` integer NOT NULL
);

CREATE UNIQUE INDEX `rate_windows_key` ON `rate_windows` (`licence`,`minute`);
CREATE TABLE `received` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`lane` integer NOT NULL,
	`generation` integer NOT NULL,
	`first` integer NOT NULL,
	`count` integer NOT NULL,
	`at` integer NOT NULL,
	`items` blob NOT NULL
);

CREATE INDEX `received_by_lane` ON `received` (`lane`,`seq`);
CREATE TABLE `received_readers` (
	`name` text PRIMARY KEY NOT NULL,
	`seq` integer NOT NULL
);

CREATE TABLE `sealed_ids` (
	`lane` integer NOT NULL,
	`id` text NOT NULL,
	`at` integer NOT NULL,
	PRIMARY KEY(`lane`, `id`)
);

CREATE INDEX `sealed_ids_by_time` ON `sealed_ids` (`at`);
CREATE TABLE `messengers` (
	`one` integer PRIMARY KEY NOT NULL,
	`chain` blob NOT NULL,
	`secrets` blob NOT NULL,
	`created_at` integer NOT NULL
);

CREATE TABLE `agent_events` (
	`id` text PRIMARY KEY NOT NULL,
	`agent_id` text NOT NULL,
	`at` integer NOT NULL,
	`kind` text NOT NULL,
	`detail` text NOT NULL
);

CREATE INDEX `agent_events_by_agent` ON `agent_events` (`agent_id`,`id`);
CREATE INDEX `agent_events_by_time` ON `agent_events` (`at`);
CREATE TABLE `agent_presence` (
	`agent_id` text PRIMARY KEY NOT NULL,
	`online` integer NOT NULL,
	`since` integer NOT NULL,
	`last_seen_at` integer NOT NULL,
	`address` text NOT NULL,
	`version` text NOT NULL,
	`platform` text NOT NULL,
	`hostname` text NOT NULL,
	`well` integer NOT NULL,
	`well_since` integer NOT NULL,
	`well_ms` integer NOT NULL,
	`probed_at` integer,
	`health_at` integer,
	`desired` integer,
	`plugins` text,
	`plugin_states` text
);

CREATE TABLE `platform_warnings` (
	`id` text PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`subject` text NOT NULL,
	`at` integer NOT NULL,
	`detail` text NOT NULL,
	`cleared_at` integer
);

CREATE UNIQUE INDEX `platform_warnings_open` ON `platform_warnings` (`kind`,`subject`) WHERE cleared_at IS NULL;
CREATE INDEX `platform_warnings_by_time` ON `platform_warnings` (`at`);
CREATE TABLE `sessions` (
	`agent_id` text NOT NULL,
	`slot` integer NOT NULL,
	`epoch` integer NOT NULL,
	`nexus` text NOT NULL,
	`address` text NOT NULL,
	`since` integer NOT NULL,
	`seen_at` integer NOT NULL,
	`version` text NOT NULL,
	`platform` text NOT NULL,
	`hostname` text NOT NULL,
	`rtt_last_ms` real,
	`rtt_p50_ms` real,
	`rtt_p99_ms` real,
	`bytes_up` integer NOT NULL,
	`bytes_down` integer NOT NULL,
	PRIMARY KEY(`agent_id`, `slot`)
);

CREATE INDEX `sessions_by_nexus` ON `sessions` (`nexus`);
CREATE TABLE `openings` (
	`id` text PRIMARY KEY NOT NULL,
	`agent_id` text NOT NULL,
	`at` integer NOT NULL,
	`outcome` text NOT NULL,
	`address` text NOT NULL,
	`gateway_id` text NOT NULL,
	`nexus` text NOT NULL,
	`slot` integer NOT NULL,
	`epoch` integer
);

CREATE INDEX `openings_by_agent` ON `openings` (`agent_id`,`at`);
CREATE INDEX `openings_by_time` ON `openings` (`at`);
CREATE TABLE `refusals` (
	`minute` integer NOT NULL,
	`address` text NOT NULL,
	`code` text NOT NULL,
	`subject` text NOT NULL,
	`verified` integer NOT NULL,
	`count` integer NOT NULL,
	PRIMARY KEY(`minute`, `address`, `code`, `subject`, `verified`)
);

CREATE INDEX `refusals_by_subject` ON `refusals` (`subject`,`minute`);
CREATE TABLE `used_headers` (
	`id` text PRIMARY KEY NOT NULL,
	`until` integer NOT NULL
);

CREATE INDEX `used_headers_by_time` ON `used_headers` (`until`);
CREATE TABLE `policies` (
	`id` text PRIMARY KEY NOT NULL,
	`customer_id` text NOT NULL,
	`name` text NOT NULL,
	`note` text NOT NULL,
	`version` integer NOT NULL,
	`rules` text NOT NULL,
	`created_at` integer NOT NULL,
	`created_by` text NOT NULL,
	`updated_at` integer NOT NULL,
	`updated_by` text NOT NULL,
	`deleted_at` integer,
	FOREIGN KEY (`customer_id`) REFERENCES `customers`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE UNIQUE INDEX `policies_by_name` ON `policies` (`customer_id`,`name`) WHERE deleted_at IS NULL;
CREATE INDEX `policies_by_customer` ON `policies` (`customer_id`,`id`);
CREATE TABLE `policy_versions` (
	`policy_id` text NOT NULL,
	`version` integer NOT NULL,
	`name` text NOT NULL,
	`note` text NOT NULL,
	`rules` text NOT NULL,
	`restores` integer,
	`deleted` integer NOT NULL,
	`created_at` integer NOT NULL,
	`created_by` text NOT NULL,
	PRIMARY KEY(`policy_id`, `version`),
	FOREIGN KEY (`policy_id`) REFERENCES `policies`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE TABLE `portal_nodes` (
	`portal_id` text NOT NULL,
	`agent_id` text NOT NULL,
	`end` text NOT NULL,
	`wanted` integer NOT NULL,
	`stated_version` integer NOT NULL,
	`stated_policy` integer,
	`stated_e2e_only` integer DEFAULT false NOT NULL,
	`identifier` text,
	PRIMARY KEY(`portal_id`, `agent_id`),
	FOREIGN KEY (`portal_id`) REFERENCES `portals`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE INDEX `portal_nodes_by_agent` ON `portal_nodes` (`agent_id`);
CREATE TABLE `portals` (
	`id` text PRIMARY KEY NOT NULL,
	`customer_id` text NOT NULL,
	`name` text NOT NULL,
	`version` integer NOT NULL,
	`enabled` integer NOT NULL,
	`mode` text NOT NULL,
	`protocol` text NOT NULL,
	`listen` text NOT NULL,
	`target` text NOT NULL,
	`connect_timeout_ms` integer NOT NULL,
	`connections_max` integer NOT NULL,
	`policy_id` text,
	`inlet_pins` text,
	`outlet_pins` text,
	`tls` text,
	`http` text,
	`headers` blob,
	`proxy_protocol` integer NOT NULL,
	`created_at` integer NOT NULL,
	`created_by` text NOT NULL,
	`updated_at` integer NOT NULL,
	`updated_by` text NOT NULL,
	`deleted_at` integer,
	FOREIGN KEY (`customer_id`) REFERENCES `customers`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE UNIQUE INDEX `portals_by_name` ON `portals` (`customer_id`,`name`) WHERE deleted_at IS NULL;
CREATE INDEX `portals_by_customer` ON `portals` (`customer_id`,`id`);
CREATE INDEX `portals_by_policy` ON `portals` (`policy_id`);

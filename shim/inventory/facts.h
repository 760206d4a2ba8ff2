/*
 * What a guest's agent tells, as variables of its host.   (shim; pure)
 *
 * The answers are the guest's, so nothing of their form is relied on: what does not make sense is
 * left out, texts are cut and cleaned, addresses are parsed, and the sum is bounded by
 * PQ_INVENTORY_FACTS_MAX, beyond which network interfaces are left out. Functions fail with NOMEM
 * only.
 */
#pragma once

#include "shim/inventory/inventory.h"

/* Addresses of one network interface that are looked at, and of a guest that are listed. */
#define PQ_FACTS_ADDRESSES_MAX 64

/* Adds what get-osinfo returned: proxmox_os_id, proxmox_os_version_id, ... */
int pq_facts_add_osinfo(pq_inventory_host *host, const pq_json *result, pq_error *err);

/* Adds what network-get-interfaces returned: proxmox_agent_interfaces, in the form that
 * community.proxmox gives it, and proxmox_agent_addresses, those by which others may reach the
 * guest: without loopback and link-local ones. */
int pq_facts_add_interfaces(pq_inventory_host *host, const pq_json *result, pq_error *err);

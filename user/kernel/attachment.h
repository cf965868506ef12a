// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An interface with our program on it: attach, replace, detach, and what is really there.
#pragma once

#include <cstdint>
#include <optional>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/image.h"
#include "core/model.h"
#include "kernel/dataplane.h"
#include "util/result.h"

namespace anycast {

struct Paths {
	std::string pins = AX_DEFAULT_PIN_DIR;
	std::string state = AX_DEFAULT_STATE_DIR;
	std::string socket = std::string(AX_DEFAULT_STATE_DIR) + "/agent.sock";
};

// <pins>/v1/<netns inode>/<interface>; the state directory has the same last two steps.
std::string pin_directory(const Paths &paths, const std::string &interface);
std::string state_directory(const Paths &paths, const std::string &interface);

enum class XdpMode { kNone, kNative, kGeneric, kOffload };
std::string_view mode_name(XdpMode mode);

// What the kernel says is on the interface now; nothing taken from our own records.
struct Attached {
	int ifindex = 0;
	std::string interface;
	XdpMode mode = XdpMode::kNone;
	std::uint32_t program_id = 0; // of the hook: ours, or the dispatcher's
	std::string program_name;
	bool by_link = false;
	bool dispatcher = false;	// libxdp's
	std::vector<std::string> chain; // names of the programs a dispatcher runs
	bool ours = false;		// our pinned program is it, or in the chain
	std::uint32_t our_program_id = 0;
	std::string egress; // how what leaves is seen: "tcx", "clsact"; "" if it is not
};

Result<Attached> query(const Paths &paths, const std::string &interface);

struct AttachOptions {
	std::string mode = "auto"; // auto | native | generic | offload
	std::uint32_t roles = AX_ROLE_EDGE;
	bool replace_foreign = false; // --replace: evict a program that is not ours
	bool reset_flows = false;     // --reset-flows: other sizes of the flow tables are no error
	bool dry_run = false;
};

struct AttachReport {
	Attached attached;
	bool replaced = false; // an older program of ours was there: maps and flows were kept
	std::set<std::string_view> forgotten; // but these: groups of maps (sizes.h), made anew
	std::uint32_t generation = 0;
	std::uint64_t digest = 0;
	DataplaneSizes sizes{};
	std::uint32_t verified_instructions = 0;
	std::vector<std::string>
		warnings; // "native XDP refused by veth0 (...): attached in generic mode"
};

// Load, fill, attach (or replace atomically), verify. On an error nothing has changed.
Result<AttachReport> attach(const Paths &paths, const std::string &interface, const Config &config,
			    const AttachOptions &options);

struct DetachReport {
	bool detached = false;
	bool gone = false; // the device is: only what was left of the attachment was removed
	std::vector<std::string> warnings;
};
Result<DetachReport> detach(const Paths &paths, const std::string &interface);

// Interfaces of this network namespace that have pins of ours.
Result<std::vector<std::string>> attached_interfaces(const Paths &paths);

// The applied configuration and ids of an interface: kept in the state directory as
// generation-<n>.json, written and synced before the generation is raised.
struct Applied {
	Config config;
	Ids ids;
	std::uint32_t generation = 0;
	std::uint64_t digest = 0;
	std::uint32_t roles = AX_ROLE_EDGE;
	std::string mode; // as asked for at attach
};

// An attached interface, opened by its pins.
struct Instance {
	std::string interface;
	Attached attached;
	Applied applied;
	Dataplane dataplane;
};
Result<Instance> open_instance(const Paths &paths, const std::string &interface);

struct ApplyReport {
	bool changed = false;
	bool outdated = false; // something else than `based_on` runs: nothing was changed
	std::set<std::string_view> forgotten; // as AttachReport's
	std::uint32_t generation = 0;
	std::uint64_t digest = 0;
	std::vector<std::string> warnings;
};
// Compile against the interface's addresses and ids, refuse other [limits], write the idle half,
// switch. An equal configuration changes nothing. On an error the running state is as it was.
// `based_on`: what the caller has changed into `config`, if it has read that before.
Result<ApplyReport> apply(const Paths &paths, const std::string &interface, const Config &config,
			  const Config *based_on = nullptr);
// The same with a configuration that is made of what runs, while no other command can change that.
// `reset_flows`: where it wants flow tables of another size, a program with such tables takes the
// running one's place.
using MakeConfig = std::function<Result<Config>(const Applied &)>;
Result<ApplyReport> apply(const Paths &paths, const std::string &interface, const MakeConfig &make,
			  bool reset_flows = false);

} // namespace anycast

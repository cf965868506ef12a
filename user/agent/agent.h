// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The agent: checks -> backend states and announcements. One loop; BIRD is talked to by a thread of
// its own. The data plane runs without it: killing it changes nothing on the wire.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/backends.h"
#include "agent/bird_worker.h"
#include "agent/control.h"
#include "agent/marks.h"
#include "agent/pressure.h"
#include "agent/state_file.h"
#include "bird/ledger.h"
#include "core/announcer.h"
#include "core/overload.h"
#include "core/quiet.h"
#include "health/engine.h"
#include "kernel/attachment.h"

namespace anycast::agent {

// What the agent takes from the command that starts it.
struct Surroundings {
	std::string config_path;
	Paths paths;
	std::function<Result<Config>()> load; // the file again
	// The data plane's counters: {"interfaces":[{"interface","vips":[..],..}]}.
	std::function<nlohmann::ordered_json()> traffic;
	// Segments lost before this node, and all, of the flows there are; nothing: not measurable.
	std::function<std::optional<std::pair<double, double>>()> loss;
	// This node's half of alternate marking, without flows.
	std::function<Result<MarkReport>()> marks;
	// Forgets flows that ended, or were idle for so many seconds.
	std::function<void(std::uint32_t)> age;
	// Hashes of the flows in the tables, by VIP's name.
	std::function<std::map<std::string, std::vector<std::uint64_t>>()> flows;
	std::function<void(std::string_view)> log; // one line
};

class Agent {
public:
	// Until SIGTERM or SIGINT. An error: it could not start, or the loop has broken.
	static Status run(const Surroundings &surroundings);
	// Once after the machine has booted, before BIRD starts: what was announced before that
	// says nothing about now. Later calls change nothing.
	static Status forget_last_boot(const BirdConfig &bird, const Paths &paths);
	// For a unit whose restarts are exhausted: takes all routes back, once, and ends.
	static Status withdraw_all(const BirdConfig &bird, const Paths &paths);
	// What these two need, where the configuration cannot be read: what the last agent had,
	// else the defaults.
	static BirdConfig last_bird(const Paths &paths);

private:
	struct Pending { // an order that waits for BIRD
		std::uint64_t round;
		std::vector<Address> vips;
		std::map<Address, Reach> before;
		Answer answer;
		Loop::Timer limit;
	};

	Agent(const Surroundings &surroundings, Loop &loop, Config config, Saved saved,
	      bird::Ledger ledger);
	Status start();
	Status start_bird();
	void watch_signals();
	void reload();
	void stop();
	void say_goodbye(); // to BIRD

	void tick(); // every second
	void act();  // what follows from the facts, now
	void soon(); // act() once, when the loop has time
	void set_checks();
	void sample_load(double now);
	void sample_traffic(double now);
	void sample_flows(double now);
	void save();
	void serve_pages(); // tries; what fails is a problem, and is tried again
	void serve_marks(); // the same
	void problem(const std::string &key, const std::string &text); // "" ends it

	[[nodiscard]] std::map<Address, VipFacts> facts() const;
	[[nodiscard]] BackendHealth backend_health() const;
	[[nodiscard]] Health health_of(const std::string &prefix, std::size_t checks) const;
	[[nodiscard]] Health pool_health(const std::string &name) const;
	[[nodiscard]] bool served(const Vip &vip) const;
	void look_at_addresses();

	void handle(const ControlRequest &request, const Peer &peer, const Answer &answer);
	void take_order(const ControlRequest &request, const Peer &peer, const Answer &answer);
	void on_bird(const BirdStatus &status, std::uint64_t round);
	void answer_order(Pending &pending, bool in_force);
	[[nodiscard]] OrderResult result_for(const Address &vip, const Pending &pending,
					     bool in_force) const;

	[[nodiscard]] nlohmann::ordered_json status() const;
	[[nodiscard]] nlohmann::ordered_json vips_json() const;
	[[nodiscard]] nlohmann::ordered_json pools_json() const;
	[[nodiscard]] nlohmann::ordered_json checks_json(const std::string &prefix,
							 std::size_t checks) const;
	[[nodiscard]] nlohmann::ordered_json bird_json() const;
	[[nodiscard]] nlohmann::ordered_json load_json() const;
	[[nodiscard]] nlohmann::ordered_json loss_json() const;

	const Surroundings &around_;
	Loop &loop_;
	Config config_;
	Fd lock_, signals_;
	std::unique_ptr<health::Engine> engine_;
	std::map<std::string, Health> known_; // from before the restart, by check
	bird::Ledger ledger_;
	Announcer announcer_;
	std::map<Address, Reach> reach_;
	std::optional<Wanted> wanted_; // as last posted
	BackendKeeper backends_;
	std::set<Address> own_addresses_;
	OverloadGuard guard_;
	Pressure pressure_;
	Load load_;
	std::map<Address, QuietWatch> quiet_;
	std::map<Address, FlowWatch> flow_watch_; // of those that drain
	nlohmann::ordered_json traffic_ = nlohmann::ordered_json::object();
	std::optional<std::pair<double, double>> loss_before_; // lost, of
	std::unique_ptr<BirdWorker> bird_;
	std::optional<BirdStatus> bird_status_;
	std::uint64_t round_ = 0; // the last one that BIRD has answered
	std::vector<Pending> pending_;
	std::unique_ptr<LineServer> control_, http_, marks_server_;
	std::unique_ptr<Marks> marks_;
	std::map<std::string, std::string> problems_; // shown until they end
	Saved stored_;
	double began_ = 0;
	std::uint64_t ticks_ = 0;
	bool acting_soon_ = false, stopping_ = false;
};

} // namespace anycast::agent

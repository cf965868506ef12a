// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/agent.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include <fmt/format.h>

#include "agent/http.h"
#include "agent/notify.h"
#include "bird/include_file.h"
#include "net/host.h"
#include "render/metrics.h"
#include "render/page.h"

namespace anycast::agent {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kLossEvery = 5, kTrafficEvery = 5, kNeighboursEvery = 30; // ticks
constexpr seconds kGoodbye{4};

double wall_clock()
{
	return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
		.count();
}

const DampingProfile &profile_of(const Config &config)
{
	const DampingProfile *profile = find_damping_profile(config.bird.damping);
	return profile ? *profile : damping_profiles().front();
}

// Each check that runs has a socket, or three descriptors if it is a program.
void raise_file_limit()
{
	rlimit files{};
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

// What BIRD announces by our include file, where our own record is lost.
void continue_from_include(const BirdConfig &config, Announcer::Memory &memory, double now)
{
	if (config.asn == 0 || !memory.decisions.empty())
		return;
	const auto text = bird::read_file(config.include);
	const auto reach = text ? bird::reach_in(*text) : tl::unexpected(text.error());
	if (!reach)
		return;
	for (const auto &[vip, state] : *reach)
		memory.decisions[vip] = {state, "found announced", 0, now};
}

std::vector<health::Target> targets_of(const Config &config)
{
	std::vector<health::Target> targets;
	for (const Vip &vip : config.vips)
		for (std::size_t i = 0; i < vip.checks.size(); i++) {
			const CheckSpec &spec = vip.checks[i];
			targets.push_back({fmt::format("vip/{}/{}", vip.name, i), spec,
					   spec.target.value_or(vip.address),
					   spec.port != 0 ? spec.port : vip.port});
		}
	for (const Pool &pool : config.pools)
		for (const Backend &backend : pool.backends)
			for (std::size_t i = 0; i < pool.checks.size(); i++)
				targets.push_back(
					{fmt::format("pool/{}/{}/{}", pool.name, backend.name, i),
					 pool.checks[i], backend.address, pool.checks[i].port});
	return targets;
}

bool has_exec(const Config &config)
{
	const auto any = [](const auto &owners) {
		return std::ranges::any_of(owners, [](const auto &owner) {
			return std::ranges::any_of(owner.checks, [](const CheckSpec &check) {
				return check.type == CheckType::kExec;
			});
		});
	};
	return any(config.vips) || any(config.pools);
}

Result<health::ExecUser> exec_user_of(const Config &config)
{
	return has_exec(config) ? health::exec_user(config.agent.exec_user)
				: Result<health::ExecUser>(health::ExecUser{});
}

} // namespace

Agent::Agent(const Surroundings &surroundings, Loop &loop, Config config, Saved saved,
	     bird::Ledger ledger)
	: around_(surroundings), loop_(loop), config_(std::move(config)), known_(saved.health),
	  ledger_(std::move(ledger)),
	  announcer_([this](const Address &vip) -> Damping & { return ledger_.of(vip); },
		     saved.announcer),
	  backends_(surroundings.paths, saved.downed), stored_(std::move(saved)),
	  began_(wall_clock())
{
}

Status Agent::run(const Surroundings &surroundings)
{
	auto lock = take_agent_lock(surroundings.paths.state + "/agent.lock");
	if (!lock)
		return tl::unexpected(std::move(lock.error()));
	auto config = surroundings.load();
	if (!config)
		return tl::unexpected(std::move(config.error()));
	raise_file_limit();
	signal(SIGPIPE, SIG_IGN);

	auto saved = load_saved(surroundings.paths.state + "/agent.json");
	if (!saved) { // never a reason not to run
		surroundings.log(saved.error().message());
		saved = Saved{};
	}
	continue_from_include(config->bird, saved->announcer, wall_clock());
	const std::string damping = surroundings.paths.state + "/damping.json";
	auto ledger = bird::Ledger::load(damping, profile_of(*config));
	if (!ledger) {
		surroundings.log(ledger.error().message());
		ledger = bird::Ledger(damping, profile_of(*config));
	}
	auto loop = Loop::make();
	if (!loop)
		return tl::unexpected(std::move(loop.error()));
	Agent agent(surroundings, *loop, std::move(*config), std::move(*saved), std::move(*ledger));
	agent.lock_ = std::move(*lock);
	AX_TRY(agent.start());
	const Status ended = loop->run();
	agent.stop();
	return ended;
}

Status Agent::start()
{
	auto user = exec_user_of(config_);
	if (!user)
		return tl::unexpected(std::move(user.error()));
	watch_signals(); // before there is a second thread, which is to inherit the mask
	engine_ = std::make_unique<health::Engine>(
		loop_, std::move(*user), [this](const health::CheckState &state) {
			around_.log(fmt::format("{} is {}: {}", state.target.id,
						health_name(state.rise_fall.health()),
						state.detail));
			soon();
		});
	set_checks();
	AX_TRY(start_bird());
	auto control =
		serve_control(loop_, around_.paths.socket, config_.agent.group,
			      [this](const ControlRequest &request, const Peer &peer,
				     const Answer &answer) { handle(request, peer, answer); });
	if (!control)
		return tl::unexpected(std::move(control.error()));
	control_ = std::move(*control);
	if (config_.agent.http_address) {
		auto http = serve_http(loop_, *config_.agent.http_address, config_.agent.http_port,
				       {{"/metrics",
					 {"text/plain; version=0.0.4; charset=utf-8",
					  [this] { return render::metrics_text(status()); }}},
					{"/", {"text/html; charset=utf-8", [this] {
						       return render::status_page(status());
					       }}}});
		if (!http)
			return tl::unexpected(std::move(http.error()));
		http_ = std::move(*http);
	}
	around_.log(fmt::format("runs, with {}", around_.config_path));
	tick();
	notify("READY=1\nSTATUS=runs");
	return {};
}

Status Agent::start_bird()
{
	bird_.reset();
	bird_status_.reset();
	if (config_.bird.asn == 0)
		return {};
	auto worker = BirdWorker::start(
		loop_, config_.bird,
		[this](const BirdStatus &status, std::uint64_t round) { on_bird(status, round); });
	if (!worker)
		return tl::unexpected(std::move(worker.error()));
	bird_ = std::move(*worker);
	wanted_.reset();
	return {};
}

void Agent::watch_signals()
{
	sigset_t set;
	sigemptyset(&set);
	for (const int number : {SIGTERM, SIGINT, SIGHUP})
		sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, nullptr);
	signals_ = Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
	(void)loop_.watch(signals_.get(), EPOLLIN, [this](std::uint32_t) {
		signalfd_siginfo info{};
		while (read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
			if (info.ssi_signo == SIGHUP)
				reload();
			else
				loop_.stop();
		}
	});
}

void Agent::set_checks()
{
	engine_->set(targets_of(config_), known_);
	known_.clear();
}

// SIGHUP: as `apply`, and the agent's own part.
void Agent::reload()
{
	notify("RELOADING=1");
	auto config = around_.load();
	const auto user = config ? exec_user_of(*config) : tl::unexpected(config.error());
	if (!config || !user) {
		problem("reload", "the configuration is not taken, the old one goes on: " +
					  (config ? user.error() : config.error()).what);
		notify("READY=1");
		return;
	}
	std::string failed;
	if (config->host) {
		const auto report = set_up_host(*config->host, vip_addresses(*config), false);
		if (!report)
			failed = report.error().what;
	}
	const auto interfaces = attached_interfaces(around_.paths);
	std::set<std::string> downed;
	Config applied = *config;
	follow_health(applied, backend_health(), downed); // never a moment with dead backends
	for (const std::string &interface : interfaces ? *interfaces : std::vector<std::string>{})
		if (config->interfaces.empty() ||
		    std::ranges::find(config->interfaces, interface) != config->interfaces.end())
			if (const auto report = apply(around_.paths, interface, applied); !report)
				failed += (failed.empty() ? "" : "; ") + report.error().what;
	problem("reload", failed);

	const bool other_bird = config->bird != config_.bird;
	const bool other_agent = config->agent != config_.agent;
	config_ = std::move(*config);
	set_checks();
	if (other_bird)
		if (const auto started = start_bird(); !started)
			problem("bird", started.error().what);
	if (other_agent)
		around_.log("[agent] has changed: group, exec_user and http_* from the next start");
	around_.log(failed.empty() ? "reloaded" : "reloaded in part: " + failed);
	act();
	notify("READY=1");
}

void Agent::problem(const std::string &key, const std::string &text)
{
	const auto found = problems_.find(key);
	if (text.empty()) {
		if (found != problems_.end()) {
			around_.log("over: " + found->second);
			problems_.erase(found);
		}
		return;
	}
	if (found == problems_.end() || found->second != text)
		around_.log(text);
	problems_[key] = text;
}

Health Agent::health_of(const std::string &prefix, std::size_t checks) const
{
	std::vector<Health> parts;
	for (std::size_t i = 0; i < checks; i++) {
		const health::CheckState *state = engine_->find(prefix + std::to_string(i));
		parts.push_back(state ? state->rise_fall.health() : Health::kUnknown);
	}
	return combined(parts);
}

// Somebody has to be there to send to.
Health Agent::pool_health(const std::string &name) const
{
	const auto pool = std::ranges::find(config_.pools, name, &Pool::name);
	if (pool == config_.pools.end() || pool->checks.empty())
		return Health::kUp;
	bool unknown = false;
	for (const Backend &backend : pool->backends) {
		const Health one = health_of(fmt::format("pool/{}/{}/", name, backend.name),
					     pool->checks.size());
		if (one == Health::kUp)
			return Health::kUp;
		unknown = unknown || one == Health::kUnknown;
	}
	return unknown ? Health::kUnknown : Health::kDown;
}

std::map<Address, VipFacts> Agent::facts() const
{
	std::map<Address, VipFacts> facts;
	std::map<Address, std::vector<Health>> parts;
	for (const Vip &vip : config_.vips) {
		VipFacts &fact = facts[vip.address];
		parts[vip.address].push_back(
			health_of(fmt::format("vip/{}/", vip.name), vip.checks.size()));
		parts[vip.address].push_back(pool_health(vip.pool));
		fact.canary = fact.canary || vip.canary;
	}
	for (auto &[vip, fact] : facts) {
		fact.health = combined(parts[vip]);
		fact.others_announce = bird_status_ && bird_status_->announced_by_others(vip);
		const auto watch = quiet_.find(vip);
		fact.quiet = watch != quiet_.end() && watch->second.quiet();
	}
	return facts;
}

BackendHealth Agent::backend_health() const
{
	BackendHealth health;
	for (const Pool &pool : config_.pools)
		for (const Backend &backend : pool.backends)
			if (!pool.checks.empty())
				health[pool.name + "/" + backend.name] = health_of(
					fmt::format("pool/{}/{}/", pool.name, backend.name),
					pool.checks.size());
	return health;
}

void Agent::soon()
{
	if (acting_soon_)
		return;
	acting_soon_ = true;
	loop_.at(Loop::Clock::now(), [this] {
		acting_soon_ = false;
		act();
	});
}

void Agent::act()
{
	if (stopping_)
		return;
	const double now = wall_clock();
	const auto &decisions = announcer_.decide(facts(), config_.agent, guard_.overloaded(), now);
	std::map<Address, Reach> reach;
	for (const auto &[vip, decision] : decisions) {
		reach[vip] = decision.reach;
		const auto before = reach_.find(vip);
		if (before == reach_.end() || before->second != decision.reach)
			around_.log(fmt::format("{} ({}): {}, {}", names_of(vip), vip.text(),
						reach_name(decision.reach), decision.reason));
		if (decision.reach == Reach::kDraining)
			quiet_[vip].drain(now);
		else
			quiet_[vip].stop();
	}
	reach_ = std::move(reach);
	if (Wanted wanted = wanted_for(config_, reach_); bird_ && wanted != wanted_) {
		bird_->post(wanted);
		wanted_ = std::move(wanted);
	}

	std::vector<std::string> problems;
	for (const std::string &change : backends_.sync(backend_health(), problems))
		around_.log(change);
	problem("backends", fmt::format("{}", fmt::join(problems, "; ")));
	save();
}

void Agent::sample_load(double now)
{
	const auto loss = load_.loss;
	load_ = pressure_.sample();
	load_.loss = loss;
	if (config_.agent.overload.loss.high != 0 && ticks_ % kLossEvery == 0) {
		const auto sums = around_.loss();
		load_.loss.reset();
		if (sums && loss_before_ && sums->second > loss_before_->second)
			load_.loss = 1000 * std::max(sums->first - loss_before_->first, 0.0) /
				     (sums->second - loss_before_->second);
		loss_before_ = sums;
	}
	const bool before = guard_.overloaded();
	if (guard_.judge(config_.agent.overload, load_, now) != before)
		around_.log(before ? "overload: over" : "overload: " + guard_.reason());
}

void Agent::sample_traffic(double now)
{
	traffic_ = around_.traffic();
	std::map<Address, std::uint64_t> packets;
	bool measurable = false;
	for (const auto &interface : traffic_.value("interfaces", nlohmann::ordered_json::array()))
		for (const auto &row : interface.value("vips", nlohmann::ordered_json::array())) {
			const auto vip = std::ranges::find(
				config_.vips, row.value("vip", std::string()), &Vip::name);
			if (vip == config_.vips.end())
				continue;
			packets[vip->address] += row.value("packets", std::uint64_t{0});
			measurable = true;
		}
	for (const auto &[vip, count] : packets)
		quiet_[vip].sample(count, now);
	if (!measurable)
		quiet_.clear();
}

void Agent::tick()
{
	const auto began = Loop::Clock::now();
	const double now = wall_clock();
	loop_.at(began + seconds(1), [this] { tick(); });
	sample_load(static_cast<double>(ticks_));
	const auto draining = [](const auto &one) { return one.second == Reach::kDraining; };
	if (ticks_ % kTrafficEvery == 0 || std::ranges::any_of(reach_, draining))
		sample_traffic(now);
	if (ticks_ % kNeighboursEvery == 0)
		backends_.refresh_next_hops(config_);
	act();
	ticks_++;
	notify("WATCHDOG=1");
}

void Agent::save()
{
	Saved saved{.announcer = announcer_.memory(), .health = {}, .downed = backends_.downed()};
	for (auto &[vip, decision] : saved.announcer.decisions)
		decision.wait = 0; // counts down every second: not worth a write
	engine_->each([&](const health::CheckState &state) {
		if (state.rise_fall.health() != Health::kUnknown)
			saved.health[state.target.id] = state.rise_fall.health();
	});
	const auto same_reach = [](const Saved &a, const Saved &b) {
		return std::ranges::equal(a.announcer.decisions, b.announcer.decisions,
					  [](const auto &x, const auto &y) {
						  return x.first == y.first &&
							 x.second.reach == y.second.reach;
					  });
	};
	if (problems_.contains("state") || !same_reach(saved, stored_) ||
	    saved.health != stored_.health || saved.downed != stored_.downed ||
	    saved.announcer.orders != stored_.announcer.orders ||
	    saved.announcer.canaries_up_since != stored_.announcer.canaries_up_since) {
		auto stored = store_saved(around_.paths.state + "/agent.json", saved);
		if (stored)
			stored = ledger_.save(wall_clock());
		problem("state", stored ? "" : stored.error().message());
		stored_ = std::move(saved);
	}
}

void Agent::stop()
{
	stopping_ = true;
	notify("STOPPING=1");
	if (!bird_ || config_.agent.on_stop == OnStop::kLeave) {
		around_.log("stopped; announcements are left as they are");
		return;
	}
	// Our memory keeps what was announced: the next start begins with it, if health agrees.
	const std::uint64_t goodbye = bird_->post(wanted_for(config_, {}));
	const auto limit = Loop::Clock::now() + kGoodbye;
	while (round_ < goodbye && Loop::Clock::now() < limit && loop_.turn(milliseconds(50))) {
	}
	const bool done = round_ >= goodbye && bird_status_ && bird_status_->in_force;
	around_.log(done ? "stopped; announcements are withdrawn"
			 : "stopped, but BIRD has not confirmed the withdrawal: " +
				    (bird_status_ ? bird_status_->problem : "no answer"));
	Saved saved = stored_;
	for (auto &[vip, decision] : saved.announcer.decisions) {
		if (decision.reach != Reach::kWithdrawn)
			ledger_.of(vip).withdrawn(wall_clock()); // the upstreams count it
		decision.reach = Reach::kWithdrawn;
	}
	(void)store_saved(around_.paths.state + "/agent.json", saved);
	(void)ledger_.save(wall_clock());
}

Status Agent::withdraw_all(const Config &config)
{
	if (config.bird.asn == 0)
		return {};
	bird::Speaker speaker(config.bird);
	BirdStatus status;
	for (int round = 0; round < 4 && !status.in_force; round++)
		status = speaker.reconcile(wanted_for(config, {}), milliseconds(2000));
	if (status.in_force)
		return {};
	return fail(Exit::kFailed, "BIRD has not confirmed the withdrawal: " + status.problem,
		    "see: anycast-xdp bird status");
}

} // namespace anycast::agent

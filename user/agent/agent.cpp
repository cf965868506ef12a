// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/agent.h"

#include <fcntl.h>
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

constexpr seconds kGoodbye{4};
constexpr double kJanitorPatience = 10; // seconds

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

// Nobody else would notice that the next hops are nobody's any more.
Result<Janitor> start_janitor(const Surroundings &surroundings)
{
	return Janitor::start([&surroundings] {
		if (const auto cleared = clear_next_hops(surroundings.paths, kJanitorPatience);
		    !cleared)
			surroundings.log(cleared.error().what);
	});
}

} // namespace

Agent::Agent(const Surroundings &surroundings, Loop &loop, Config config, Saved saved,
	     bird::Ledger ledger)
	: around_(surroundings), loop_(loop), config_(std::move(config)), known_(saved.health),
	  ledger_(std::move(ledger)),
	  announcer_([this](const Address &vip) -> Damping & { return ledger_.of(vip); },
		     saved.announcer),
	  backends_(surroundings.paths, saved.downed),
	  next_hops_(loop, surroundings.paths, surroundings.log), stored_(std::move(saved)),
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
	if (const auto forgot = forget_last_boot(*config, surroundings.paths); !forgot)
		surroundings.log(forgot.error().message());
	auto janitor = start_janitor(surroundings); // a fork: before there is anything else
	if (!janitor)
		return tl::unexpected(std::move(janitor.error()));
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
	agent.janitor_ = std::move(*janitor);
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
	start_next_hops();
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

void Agent::start_next_hops()
{
	(void)loop_.watch(janitor_.pidfd(), EPOLLIN, [this](std::uint32_t) { janitor_ended(); });
	if (!config_.agent.next_hops)
		return;
	if (const auto started = next_hops_.start(); !started)
		problem("janitor", started.error().what);
}

// Somebody has killed it: without it, next hops could outlive us.
void Agent::janitor_ended()
{
	loop_.forget(janitor_.pidfd());
	(void)janitor_.finish(milliseconds(0)); // it is a zombie
	next_hops_.stop();
	const auto cleared = clear_next_hops(around_.paths, 0);
	problem("janitor", fmt::format("the agent's janitor has ended: next hops are looked up per "
				       "packet until the agent is restarted{}",
				       cleared ? "" : "; " + cleared.error().what));
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
	if (!failed.empty()) { // what has no address or no place in the data plane is not announced
		around_.log("reloaded in part, the old announcements stay: " + failed);
		notify("READY=1");
		return;
	}

	const bool other_bird = config->bird != config_.bird;
	const bool other_agent = config->agent != config_.agent;
	config_ = std::move(*config);
	set_checks();
	if (other_bird)
		if (const auto started = start_bird(); !started)
			problem("bird", started.error().what);
	if (other_agent)
		around_.log("[agent] has changed: group, exec_user, http_* and next_hops from the "
			    "next start");
	next_hops_.soon();
	around_.log("reloaded");
	act();
	notify("READY=1");
}

void Agent::stop()
{
	stopping_ = true;
	notify("STOPPING=1");
	say_goodbye();
	next_hops_.stop();
	loop_.forget(janitor_.pidfd());
	if (!janitor_.finish(kGoodbye))
		around_.log("next hops are not cleared yet: another command works on an interface");
}

void Agent::say_goodbye()
{
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
	saved.health.clear(); // what dies while nobody checks is not announced by the next start
	(void)store_saved(around_.paths.state + "/agent.json", saved);
	(void)ledger_.save(wall_clock());
}

// The include file is on disk; the state directory, in /run, begins empty with each boot.
Status Agent::forget_last_boot(const Config &config, const Paths &paths)
{
	const std::string mark = paths.state + "/booted";
	std::error_code error;
	if (std::filesystem::exists(mark, error))
		return {};
	if (config.bird.asn != 0 && std::filesystem::exists(config.bird.include, error))
		AX_TRY(bird::replace_file(config.bird.include,
					  bird::include_text(wanted_for(config, {}))));
	std::filesystem::create_directories(paths.state, error);
	const Fd fd(open(mark.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
	if (!fd.valid())
		return fail_errno("create " + mark, errno,
				  "run it as root, or as the user that owns the state directory");
	return {};
}

Status Agent::withdraw_all(const Config &config, const Paths &paths)
{
	const Status cleared = clear_next_hops(paths, kJanitorPatience);
	if (config.bird.asn == 0)
		return cleared;
	bird::Speaker speaker(config.bird);
	BirdStatus status;
	for (int round = 0; round < 4 && !status.in_force; round++)
		status = speaker.reconcile(wanted_for(config, {}), milliseconds(2000));
	if (status.in_force)
		return cleared;
	return fail(Exit::kFailed, "BIRD has not confirmed the withdrawal: " + status.problem,
		    "see: anycast-xdp bird status");
}

} // namespace anycast::agent

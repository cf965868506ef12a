// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/agent.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include <fmt/format.h>

#include "agent/targets.h"
#include "agent/notify.h"
#include "bird/include_file.h"
#include "core/vip_places.h"
#include "net/host.h"

namespace anycast::agent {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kGoodbye{4};

double wall_clock()
{
	return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
		.count();
}

const DampingProfile &profile_of(const BirdConfig &bird)
{
	const DampingProfile *profile = find_damping_profile(bird.damping);
	return profile ? *profile : damping_profiles().front();
}

// No route, whatever the VIPs were: those of the file now are those that filters may name.
Wanted nothing_of(const BirdConfig &bird)
{
	Wanted nothing;
	nothing.asn = bird.asn;
	const auto text = bird::read_file(bird.include);
	const auto reach = text ? bird::reach_in(*text) : tl::unexpected(text.error());
	if (reach)
		for (const auto &[vip, state] : *reach)
			nothing.vips.push_back(vip);
	return nothing;
}

// Files that were written before the machine's last start say nothing about now.
bool written_since_boot(const std::string &path)
{
	struct stat info {};
	timespec up{};
	if (stat(path.c_str(), &info) || clock_gettime(CLOCK_BOOTTIME, &up))
		return false;
	constexpr double kClocksMayDiffer = 5;
	return static_cast<double>(info.st_mtime) >
	       wall_clock() - static_cast<double>(up.tv_sec) + kClocksMayDiffer;
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
	// The unit that attaches does this after a boot. Without it, and without its mark: what is
	// announced may be an agent's of today, before an upgrade.
	if (!written_since_boot(config->bird.include))
		if (const auto forgot = forget_last_boot(config->bird, surroundings.paths); !forgot)
			surroundings.log(forgot.error().message());
	raise_file_limit();
	signal(SIGPIPE, SIG_IGN);

	auto saved = load_saved(surroundings.paths.state + "/agent.json");
	if (!saved) { // never a reason not to run
		surroundings.log(saved.error().message());
		saved = Saved{};
	}
	continue_from_include(config->bird, saved->announcer, wall_clock());
	const std::string damping = surroundings.paths.state + "/damping.json";
	auto ledger = bird::Ledger::load(damping, profile_of(config->bird));
	if (!ledger) {
		surroundings.log(ledger.error().message());
		ledger = bird::Ledger(damping, profile_of(config->bird));
	}
	auto loop = Loop::make();
	if (!loop)
		return tl::unexpected(std::move(loop.error()));
	Agent agent(surroundings, *loop, std::move(*config), std::move(*saved), std::move(*ledger));
	agent.lock_ = std::move(*lock);
	AX_TRY(agent.start());
	Status ended = loop->run();
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
	const auto group = agent_group(config_.agent.group);
	if (!group)
		return tl::unexpected(group.error());
	auto control =
		serve_control(loop_, around_.paths.socket, *group,
			      [this](const ControlRequest &request, const Peer &peer,
				     const Answer &answer) { handle(request, peer, answer); });
	if (!control)
		return tl::unexpected(std::move(control.error()));
	control_ = std::move(*control);
	serve_pages();
	serve_marks();
	marks_ = std::make_unique<Marks>(
		loop_, engine_->http(),
		Marks::Around{around_.marks,
			      [this](const std::string &text) { problem("marks_from", text); }});
	marks_->set(config_);
	std::vector<std::string> problems; // what is attached has to be known before the first act
	(void)backends_.sync({}, problems);
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
	look_at_addresses();
	engine_->set(targets_of(config_, own_addresses_), known_);
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
		const auto report = set_up_host(*config->host, single_vips(*config), false);
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
	const bool other_marks = config->agent.marks_listen != config_.agent.marks_listen ||
				 config->agent.marks_allow != config_.agent.marks_allow;
	config_ = std::move(*config);
	set_checks();
	if (other_marks) {
		marks_server_.reset();
		problem("marks_listen", "");
		serve_marks();
	}
	marks_->set(config_);
	if (other_bird)
		if (const auto started = start_bird(); !started)
			problem("bird", started.error().what);
	if (other_agent)
		around_.log("[agent] has changed: group, exec_user and http_* from the next start");
	around_.log("reloaded");
	act();
	notify("READY=1");
}

void Agent::stop()
{
	stopping_ = true;
	notify("STOPPING=1");
	say_goodbye();
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
	for (const auto &[vip, decision] : saved.announcer.decisions)
		if (decision.reach != Reach::kWithdrawn)
			ledger_.of(vip).withdrawn(wall_clock()); // the upstreams count it
	forget_announced(saved);
	(void)store_saved(around_.paths.state + "/agent.json", saved);
	(void)ledger_.save(wall_clock());
}

BirdConfig Agent::last_bird(const Paths &paths)
{
	BirdConfig bird;
	bird.asn = 1; // whichever: there is one, and it stands in no route that is taken back
	if (const auto saved = load_saved(paths.state + "/agent.json"); saved) {
		if (!saved->bird_socket.empty())
			bird.socket = saved->bird_socket;
		if (!saved->bird_include.empty())
			bird.include = saved->bird_include;
	}
	return bird;
}

// The include file is on disk; the state directory, in /run, begins empty with each boot.
Status Agent::forget_last_boot(const BirdConfig &bird, const Paths &paths)
{
	const std::string mark = paths.state + "/booted";
	std::error_code error;
	if (std::filesystem::exists(mark, error))
		return {};
	if (bird.asn != 0 && std::filesystem::exists(bird.include, error))
		AX_TRY(bird::replace_file(bird.include, bird::include_text(nothing_of(bird))));
	std::filesystem::create_directories(paths.state, error);
	const Fd fd(open(mark.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
	if (!fd.valid())
		return fail_errno("create " + mark, errno,
				  "run it as root, or as the user that owns the state directory");
	return {};
}

Status Agent::withdraw_all(const BirdConfig &bird, const Paths &paths)
{
	if (bird.asn == 0)
		return {};
	// First what the next agent starts from: it must not announce what nobody has checked.
	const std::string record = paths.state + "/agent.json";
	const double now = wall_clock();
	if (auto saved = load_saved(record); saved) {
		if (auto ledger =
			    bird::Ledger::load(paths.state + "/damping.json", profile_of(bird));
		    ledger) {
			for (const auto &[vip, decision] : saved->announcer.decisions)
				if (decision.reach != Reach::kWithdrawn)
					ledger->of(vip).withdrawn(now);
			(void)ledger->save(now);
		}
		forget_announced(*saved);
		(void)store_saved(record, *saved);
	}
	bird::Speaker speaker(bird);
	BirdStatus status;
	for (int round = 0; round < 4 && !status.in_force; round++)
		status = speaker.reconcile(nothing_of(bird), milliseconds(2000));
	if (status.in_force)
		return {};
	return fail(Exit::kFailed, "BIRD has not confirmed the withdrawal: " + status.problem,
		    "see: anycast-xdp bird status");
}

} // namespace anycast::agent

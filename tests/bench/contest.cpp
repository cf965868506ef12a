// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/contest.h"

#include <sched.h>

#include <algorithm>

#include <fmt/format.h>

#include "bench/statistics.h"

namespace anycast::bench {

namespace {

// Others on this machine wait while a run lasts; afterwards it is theirs again.
class Urgent {
public:
	Urgent() { set(SCHED_FIFO, 1); }
	~Urgent() { set(SCHED_OTHER, 0); }
	Urgent(const Urgent &) = delete;
	Urgent &operator=(const Urgent &) = delete;

private:
	static void set(int policy, int priority)
	{
		const sched_param param{.sched_priority = priority};
		::sched_setscheduler(0, policy, &param); // without it there is more noise
	}
};

Result<double> one_run(Contender &contender, const Rounds &rounds)
{
	if (contender.ready)
		AX_TRY(contender.ready());
	const Urgent urgent;

	if (rounds.warm != 0)
		if (auto warmed = contender.wrapped.run(rounds.warm); !warmed)
			return tl::unexpected(warmed.error());
	const auto timing = contender.wrapped.run(rounds.repeat);
	if (!timing)
		return tl::unexpected(timing.error());
	if (contender.verdict && timing->verdict != *contender.verdict)
		return fail(Exit::kFailed,
			    fmt::format("{}: verdict {} instead of {}", contender.name,
					timing->verdict, *contender.verdict),
			    "what was measured is not what the case is about");
	return timing->ns;
}

} // namespace

Result<Contest> contest(std::vector<Contender> &contenders, const Rounds &rounds)
{
	constexpr Rounds kProbe{.repeat = 10000};
	Contest contest;
	std::vector<double> probes;
	std::vector<std::size_t> quiet;

	const auto probe = [&]() -> Status {
		const auto ns = one_run(contenders[0], kProbe);
		if (!ns)
			return tl::unexpected(ns.error());
		probes.push_back(*ns);
		return {};
	};
	for (const Contender &contender : contenders)
		contest.series.push_back({contender.name, {}});
	AX_TRY(probe());
	while (contest.rounds.tried < rounds.rounds * rounds.patience &&
	       quiet.size() < rounds.rounds) {
		for (std::size_t i = 0; i < contenders.size(); ++i) {
			const std::size_t who = (i + contest.rounds.tried) % contenders.size();
			const auto ns = one_run(contenders[who], rounds);
			if (!ns)
				return tl::unexpected(ns.error());
			contest.series[who].ns.push_back(*ns);
		}
		AX_TRY(probe());
		++contest.rounds.tried;
		quiet = undisturbed(probes);
	}
	contest.rounds.disturbed = contest.rounds.tried - static_cast<std::uint32_t>(quiet.size());
	contest.rounds.left_out =
		contest.rounds.disturbed != 0 && 2 * quiet.size() >= rounds.rounds;
	if (contest.rounds.left_out)
		for (Series &series : contest.series)
			series.ns = chosen(series.ns, quiet);
	for (Contender &contender : contenders)
		if (contender.check)
			AX_TRY(contender.check(contest.rounds.tried));
	return contest;
}

void add_load(const Contest &load, Contest &all)
{
	if (all.series.empty())
		all.rounds.left_out = true;
	for (std::size_t i = 0; i < load.series.size(); ++i) {
		if (all.series.size() == i)
			all.series.push_back({load.series[i].name, {}});
		all.series[i].ns.push_back(summarise(load.series[i].ns).median);
	}
	all.rounds.tried += load.rounds.tried;
	all.rounds.disturbed += load.rounds.disturbed;
	all.rounds.left_out &= load.rounds.left_out || load.rounds.disturbed == 0;
}

} // namespace anycast::bench

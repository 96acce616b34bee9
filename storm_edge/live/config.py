"""The whole configuration tree of a robot's loop, and the parts that belong to the loop itself.

`StormConfig` is the root: the factory takes one and hands each stage its part. Keys are ``stage.part.name``; see
`storm_edge.config` for how they are read and set, and `storm_edge.live.profile` for the file that sets them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from storm_edge.choices import TrackerKind
from storm_edge.config import Config, tuned
from storm_edge.errors import ConfigError, mismatch
from storm_edge.pipeline.config import PipelineConfig


@dataclass(frozen=True, kw_only=True)
class ScoreThresholds(Config):
    """How the scores of one source are read."""

    suspect_below: float = tuned(unit="1", low=0.0, high=1.0)
    """A track is suspect when the average of its scores falls below this, or the newest of geometry alone. Of 22,500
    tracked frames of a mug the newest was lower in none that was right, and 0 to 0.05 where it was first hidden."""
    trust_above: float = tuned(unit="1", low=0.0, high=1.0)
    """A suspect track is trusted again when the average reaches this; a found pose needs at least this score."""
    newest_weight: float = tuned(0.5, unit="1", low=0.001, high=1.0)
    """Weight of the newest score in the exponential moving average."""
    usual_weight: float = tuned(0.05, unit="1", low=0.001, high=1.0)
    """The same for what scores usually are: with the other weight one blurred image before a pause, of 0.62 where
    0.9 is usual, let a pose of 0.79 pass after it, a fifth of the diameter away."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.suspect_below > self.trust_above:
            got = f"suspect_below {self.suspect_below:g}, trust_above {self.trust_above:g}"
            raise ConfigError(mismatch("scores", got, "suspect_below <= trust_above", "correct the thresholds"))


@dataclass(frozen=True, kw_only=True)
class PauseConfig(Config):
    """When a pose is believed again after a pause of the camera, in which its object may have moved."""

    kept_share: float = tuned(0.9, unit="1", low=0.0, high=1.0)
    """A geometric score of at least this share of what it usually was before the pause is as good as before. Of
    3,384 frames that had 0.5 or more after pauses of up to 2 s, in which a mug moved by up to its diameter, 15 were
    at a wrong pose, and none of those had 0.8; before the pauses it had 0.9."""
    good_frames: int = tuned(2, unit="frames", low=1, high=1000)
    """So many of these in a row confirm the pose, ..."""
    trusted_frames: int = tuned(15, unit="frames", low=1, high=1000)
    """... or so many that are trusted, in another light for example: until then the side was asked for, which turned
    all wrong poses of that mug within five frames."""


@dataclass(frozen=True, kw_only=True)
class StateMachineConfig(Config):
    """When a track is suspect, trusted or lost, and how often the object is searched for."""

    geometry: ScoreThresholds = field(default_factory=lambda: ScoreThresholds(suspect_below=0.4, trust_above=0.5))
    """How the geometric scores are read."""
    network: ScoreThresholds = field(default_factory=lambda: ScoreThresholds(suspect_below=0.5, trust_above=0.6))
    """How the verifier's scores are read."""
    accepts: Literal["judged", "all"] = tuned("judged", unit="")
    """Which poses that a search found become the track: those that the thresholds below let pass, or all of them, as
    in STORM, where nothing judges a registration."""
    lost_after: int = tuned(3, unit="scores", low=1, high=1000)
    """The track is lost after so many low averages of one source in a row."""
    silence_s: float = tuned(0.5, unit="s", low=0.01, high=60.0)
    """A source's average is dropped after this time without a score; a track without any average is suspect."""
    found_above: float = tuned(0.65, unit="1", low=0.0, high=1.0, record="recovery")
    """A found pose with a lower score is not propagated to the newest frame."""
    propagated_above: float = tuned(0.6, unit="1", low=0.0, high=1.0)
    """Geometric score from which a propagated pose is accepted where the object was never tracked or there is no
    verifier: more than a track needs to go on."""
    kept_above: float = tuned(0.9, unit="1", low=0.0, high=10.0)
    """With a lower score, but no lower than a track has that is not suspect, the first pose of an object is accepted
    where the score is at least this share of what it was where a search of the image found the pose."""
    doubted_camera: ScoreThresholds = field(
        default_factory=lambda: ScoreThresholds(suspect_below=0.65, trust_above=0.7)
    )
    """How the geometric scores are read where the intrinsics look like those of another resolution: half a `K` made a
    wrong thing 0.5 to 0.61, and a right pose mostly has more than 0.7."""
    doubted_camera_propagated_above: float = tuned(0.75, unit="1", low=0.0, high=1.0)
    """``propagated_above`` there."""
    propagated_mean_above: float = tuned(0.82, unit="1", low=0.0, high=1.0, record="recovery")
    """Mean of both scores from which a propagated pose is accepted after a loss. Either alone takes wrong places for
    the object: a stone in place of a block had 0.59 by geometry and 0.94 by the network, another thing 0.68 and 0.78.
    Wrong places came to 0.8; a twentieth of the right ones is below this bound and costs another attempt."""
    propagation_slack: int = tuned(1, unit="frames", low=0, high=100)
    """A propagated pose counts as present when it is at most this many frames behind the newest."""
    local_search_for_s: float = tuned(10.0, unit="s", low=0.0, high=3600.0)
    """For this long after the last trusted pose, a search begins around it; an occlusion of 40 frames and the
    attempts that fail meanwhile must fit in."""
    local_search_attempts: int | None = tuned(1, unit="attempts", low=0, high=1000, record="recovery")
    """How many attempts begin there after the loss of a track that had settled; none: all of them. What is hidden for
    longer comes back elsewhere, and the whole image holds the old place too."""
    cool_down_s: float = tuned(0.03, unit="s", low=0.001, high=60.0, record="recovery")
    """Wait after the first failed attempt, or after losing a track that had not settled; doubles each time."""
    longest_wait_s: float = tuned(0.07, unit="s", low=0.001, high=3600.0, record="recovery")
    """The wait grows up to this."""
    settled_s: float = tuned(1.0, unit="s", low=0.001, high=3600.0)
    """A track that lasted this long has settled: the next wait is short again."""
    attempt_timeout_s: float = tuned(20.0, unit="s", low=0.1, high=3600.0)
    """An attempt without a result after this time is cancelled; the next one may take twice as long, ..."""
    timeout_doublings: int = tuned(3, unit="1", low=0, high=10)
    """... up to so many times in a row: where something else has the cores, a search that needs two seconds of one
    ended never, and what was lost stayed lost."""
    remember_every: int = tuned(10, unit="frames", low=1, high=1_000_000_000)
    """Frames between crops that the verifier remembers; the first is remembered where a track begins."""
    pause: PauseConfig = field(default_factory=PauseConfig)
    """When a pose is believed again after a pause of the camera."""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Config):
    """What is assumed of chunk times, and how long a lane may wait."""

    quantile: float = tuned(0.9, unit="1", low=0.01, high=1.0)
    """A chunk is expected to take this quantile of the recent times of its kind."""
    recent: int = tuned(32, unit="chunks", low=1, high=10_000)
    """Measured times kept per kind."""
    margin: float = tuned(1.2, unit="1", low=1.0, high=100.0)
    """Factor on the expected time."""
    slack_s: float = tuned(0.001, unit="s", low=0.0, high=100.0)
    """Added to it: waking a thread, and a frame that comes early."""
    verify_within: int = tuned(2, unit="frames", low=1, high=10_000)
    """While verifying waits, at least one chunk of it begins every so many frames."""
    locate_within: int = tuned(2, unit="frames", low=1, high=10_000)
    """While locating waits, at least one chunk of it begins every so many frames. A catch-up tracker that tracks 3
    frames per chunk (``session.frames_per_chunk``) never catches up if this is 3 or more and no chunk fits."""
    silence_s: float = tuned(0.5, unit="s", low=0.001, high=3600.0)
    """When no frame is tracked for this long after one was due, the frames have stopped: no deadline holds."""


@dataclass(frozen=True, kw_only=True)
class LanesConfig(Config):
    """Work beside the frames."""

    scheduler: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Which chunk begins when."""
    hang_s: float = tuned(20.0, unit="s", low=0.01, high=3600.0)
    """A chunk of a kind that was done before hangs when it takes longer than this."""
    first_hang_s: float = tuned(180.0, unit="s", low=0.01, high=3600.0)
    """The same for a kind that was never done before, which may have kernels to compile."""
    switch_interval_s: float = tuned(0.0005, unit="s", low=0.00001, high=1.0)
    """How long the background thread may hold the interpreter while the session waits for it; Python's 5 ms is a
    whole tracked frame."""
    niceness: int = tuned(5, unit="1", low=0, high=19)
    """By how much the background thread gives way where both want a core, on Linux. Of two busy cores a tracked
    frame's p99 of waiting for one fell by a tenth to a half in each of four comparisons, its mean did not, and
    searches took as long. 10 was no better: who waits for a core may hold the interpreter."""
    poll_s: float = tuned(0.05, unit="s", low=0.001, high=10.0)
    """Time between two checks of a chunk whose result is awaited."""


@dataclass(frozen=True, kw_only=True)
class FrameGateConfig(Config):
    """Which frames of a camera are used, and by which clock."""

    clock_leap_ns: int = tuned(1_000_000_000, unit="ns", low=1)
    """Step of the stamps, beside what the frame numbers say, from which on the clock must have moved, not the
    camera."""
    restarted_after: int = tuned(10, unit="frames", low=1, high=10_000)
    """So many frames below the newest number, each after the one before, are a camera that counts anew."""
    nominal_period_ns: int = tuned(33_333_333, unit="ns", low=1)
    """Time between two frames until it is known."""
    pause_intervals: float = tuned(4.5, unit="intervals", low=1.0, high=1e6)
    """More time between two frames than so many usual intervals is a pause: three frames that are missing are none,
    whatever their jitter."""
    pause_ns: int = tuned(120_000_000, unit="ns", low=1)
    """Less time than this is no pause, however fast the camera is: a hand that moves at 0.5 m/s goes 6 cm in it."""
    usual_of: int = tuned(5, unit="intervals", low=1, high=1000)
    """The usual interval is the median of so many."""
    black_level: int = tuned(3, unit="grey levels", low=0, high=254)
    """A picture without any brighter value is black: a covered lens, or a camera that sends no picture."""
    sampled_every: int = tuned(8, unit="px", low=1, high=1000)
    """Pixels along either side that are looked at first for whether a frame has a picture and depth."""


@dataclass(frozen=True, kw_only=True)
class WatchdogConfig(Config):
    """When a stage of the session hangs."""

    hang_s: float = tuned(120.0, unit="s", low=0.01)
    """Time after which a stage hangs that came back before. Before there is a pose a whole search may be done in one
    frame, which takes a busy machine half a minute."""
    first_hang_s: float = tuned(600.0, unit="s", low=0.01)
    """The same for one that never came back before and may have kernels to compile."""
    poll_s: float = tuned(0.25, unit="s", low=0.001, high=10.0)
    """Time between two checks."""


@dataclass(frozen=True, kw_only=True)
class SessionConfig(Config):
    """How much is done per frame, and how often."""

    tracker: TrackerKind | None = tuned(None, unit="")
    """How objects are followed; none takes the cheaper one of the device: stepwise on a CPU, batched on a GPU."""
    register_chunk: int | None = tuned(None, unit="hypotheses", low=1, high=252)
    """Hypotheses per chunk of all registrations, those of searches too; none leaves each registration its own
    ``chunk``, and takes ``register_chunk_beside`` where a lane fits chunks in between the frames."""
    register_chunk_beside: int = tuned(12, unit="hypotheses", low=1, high=252)
    """Hypotheses per chunk of registrations that run beside the frames: what fits between two frames must be small.
    Done in between, large chunks cost less in all."""
    chunks_per_frame: int = tuned(5, unit="chunks", low=1, high=10_000)
    """Chunks of locating work done per frame while there is no pose, where no lane does them beside the frames.
    Before the first pose there is nothing to keep up with: an attempt is done at once, as one from a mask."""
    frames_per_chunk: int = tuned(3, unit="frames", low=1, high=1000)
    """Frames that the catch-up tracker follows in one chunk."""
    kept_frames: int = tuned(60, unit="frames", low=1, high=10_000)
    """Most frames kept for the catch-up tracker: 2 s at 30 Hz, 2 MiB each at 640x480. Of a longer search every other
    one is, then every fourth, and so on."""
    full_search_every: int = tuned(30, unit="attempts", low=1, high=10_000, record="recovery")
    """After a loss every so manieth attempt in a row has the full search budget; the others the small one."""
    verify_every: int = tuned(3, unit="frames", low=1, high=10_000)
    """Frames between questions to the verifier while the track is not suspect; a suspect one is verified on every
    frame. A question waits for a frame in which the side is not asked about, but for no more frames than these."""
    shape_probation: int = tuned(5, unit="frames", low=0, high=10_000)
    """For so many frames the shape of a model without colours that a search found is asked every time: what looks
    right by luck in one frame seldom does for long."""
    shape_every: int = tuned(5, unit="frames", low=1, high=10_000)
    """Frames between the questions after that, 20 ms each, while the answer is no doubt."""
    entered_share: float = tuned(0.25, unit="1", low=0.0, high=1.0)
    """Of what an object shows on average, so much must be under a mask that the image's edge cuts off to begin with
    it. Set by hand: too many poses fit a sliver of 0.14; a recording that starts with 0.32 of its object in view
    starts rightly."""
    entry_wait_frames: int = tuned(10, unit="frames", low=0, high=10_000)
    """So long later masks are waited for; an object that stays at the edge begins then all the same."""
    least_size_px: float = tuned(4.0, unit="px", low=0.0)
    """An object that would be smaller than this in the image is in another unit than the scene."""
    most_image_widths: float = tuned(20.0, unit="image widths", low=0.0)
    """So is one that would be wider than this."""


@dataclass(frozen=True, kw_only=True)
class StormConfig(PipelineConfig):
    """Every tuned number of the program: the pipeline's stages, and the loop around them."""

    state_machine: StateMachineConfig = field(default_factory=StateMachineConfig)
    """When a track is suspect, trusted or lost, and when the object is searched for."""
    lanes: LanesConfig = field(default_factory=LanesConfig)
    """Work beside the frames."""
    frame_gate: FrameGateConfig = field(default_factory=FrameGateConfig)
    """Which frames of a camera are used, and by which clock."""
    watchdog: WatchdogConfig = field(default_factory=WatchdogConfig)
    """When a stage of the session hangs."""
    session: SessionConfig = field(default_factory=SessionConfig)
    """How much is done per frame, and how often."""
